"""The page in headless Chromium with a fake microphone, against a server that says back what it heard."""
import asyncio
import shutil
import threading
import time

import numpy as np
import pytest
import soundfile

from telugu_s2s.audio import files
from telugu_s2s.preparation.prepare import SAMPLE

web = pytest.importorskip('aiohttp.web', reason='needs aiohttp: pip install -e .[browser]')
playwright = pytest.importorskip('playwright.sync_api', reason='needs playwright: pip install -e .[browser]')
from tests.serving import echo as stand_in

CHROMIUM = next((path for name in ('chromium', 'chromium-browser', 'google-chrome') if (path := shutil.which(name))), None)
pytestmark = [pytest.mark.browser, pytest.mark.skipif(not CHROMIUM, reason='needs a Chromium on the PATH')]

FLAGS = ['--no-sandbox', '--disable-gpu', '--disable-quic', '--no-first-run', '--disable-background-networking',
         '--disable-component-update', '--disable-sync', '--use-fake-device-for-media-stream', '--use-fake-ui-for-media-stream',
         '--autoplay-policy=no-user-gesture-required']


@pytest.fixture(scope='module')
def loop():
  made = asyncio.new_event_loop()
  thread = threading.Thread(target=made.run_forever, daemon=True)
  thread.start()
  yield made
  made.call_soon_threadsafe(made.stop)
  thread.join()


@pytest.fixture
def server(loop):
  """An Echo that serves; its `url` is where, `drop()` cuts its connections, `tell(kind, ...)` sends an event."""
  echo = stand_in.Echo()

  async def start():
    runner = web.AppRunner(echo.app(), shutdown_timeout=0.1)
    await runner.setup()
    site = web.TCPSite(runner, '127.0.0.1', 0)
    await site.start()
    return runner, site._server.sockets[0].getsockname()[1]
  wait = lambda made: asyncio.run_coroutine_threadsafe(made, loop).result(20)
  runner, port = wait(start())

  async def cut():
    for transport in echo.transports:
      transport.abort()
    echo.transports.clear()
  echo.url, echo.drop = f'http://127.0.0.1:{port}/', lambda: wait(cut())
  echo.tell = lambda kind, **fields: wait(echo.talk.send(kind, **fields))
  yield echo
  echo.drop()
  wait(runner.cleanup())


@pytest.fixture(scope='module')
def microphone(tmp_path_factory):
  """A wav: a question, a longer one, and one that comes in between the answer to that."""
  path = tmp_path_factory.mktemp('mic') / 'mic.wav'
  one, two = (files.read(SAMPLE / 'audio' / f'{name}.opus')[0] for name in ('a002-deep', 'q001-mezzo'))
  speech = lambda x, seconds: np.resize(x[np.flatnonzero(np.abs(x) > 0.05)[0]:], round(seconds * 16000)) * 0.5
  pause = lambda seconds: np.zeros(round(seconds * 16000), np.float32)
  files.write_wav(path, np.concatenate([pause(0.8), speech(one, 1.2), pause(2.6), speech(two, 2.4), pause(1.5), speech(one, 1.0),
                                        pause(3)]))
  return path


@pytest.fixture(scope='module')
def browser(microphone):
  with playwright.sync_playwright() as started:
    opened = started.chromium.launch(executable_path=CHROMIUM, headless=True,
                                     args=[*FLAGS, f'--use-file-for-fake-audio-capture={microphone}'])
    yield opened
    opened.close()


@pytest.fixture
def visit(browser, server):
  """visit(...) opens the page in a fresh context; what the browser complains of fails the test."""
  contexts, problems = [], []

  def opened(script='', **options):
    context = browser.new_context(viewport={'width': 390, 'height': 844}, locale='en-GB', **options)
    contexts.append(context)
    page = context.new_page()
    page.add_init_script(script)
    page.on('console', lambda said: problems.append(said.text) if said.type == 'error' and 'status of' not in said.text and
            'WebSocket' not in said.text else None)
    page.on('pageerror', lambda problem: problems.append(str(problem)))
    page.on('request', lambda request: None if request.url.startswith((server.url, server.url.replace('http', 'ws'), 'blob:')) else
            problems.append(f'foreign request {request.url}'))
    page.goto(server.url)
    return page
  yield opened
  for context in contexts:
    context.close()
  assert not problems


def until(page, condition, seconds=6):
  """Waits until JavaScript says yes. Playwright's own waiting evaluates text in the page, which the policy forbids."""
  end = time.monotonic() + seconds
  while not page.evaluate(condition):
    assert time.monotonic() < end, f'{condition}: {page.evaluate("counts")}'
    page.wait_for_timeout(30)


@pytest.mark.slow
def test_three_turns_of_which_one_is_talked_over(visit, server, tmp_path):
  page = visit()
  page.click('#talk')
  until(page, 'counts.replies >= 2 && counts.interrupted >= 1 && counts.state === "listening"', 40)
  counts = page.evaluate('counts')
  assert not counts['errors']
  assert counts['sent'] > 16000 * 6 and {rate for rate, _ in server.heard} == {16000}
  assert all(len(block) == 640 for _, block in server.heard)
  assert 0 < min(counts['first_ms']) and max(counts['first_ms']) < 600
  assert counts['speaker']['gaps'] == 0
  assert counts['speaker']['dropped'] > 0, 'what was interrupted went on playing'
  assert counts['speaker']['played'] > 44100
  assert (counts['speaker']['energy'] / counts['speaker']['played']) ** 0.5 > 0.01, 'silence was played'
  assert counts['drawn']['mine'] > 0.05 and counts['drawn']['theirs'] > 0.05
  cut = [event for event in server.events if event['type'] == 'conversation.item.truncate']
  assert len(cut) == counts['interrupted'] and 200 < cut[0]['audio_end_ms'] < 2400
  assert page.inner_text('#server') == '61 ms' and page.inner_text('#late') == '2'
  assert page.inner_text('#turns em') == 'interrupted'
  with page.expect_download() as download:
    page.click('#turns li[data-who=reply] a')
  path = tmp_path / 'reply.wav'
  download.value.save_as(path)
  assert b'ICMT' in path.read_bytes() and 'synthetic speech' in soundfile.SoundFile(path).comment
  audio, rate = soundfile.read(path)
  assert rate == 16000 and np.sqrt(np.mean(audio ** 2)) > 0.01
  page.click('#turns li[data-who=you] button')
  page.wait_for_selector('#turns li[data-who=you] button:has-text("Stop")')
  page.wait_for_selector('#turns li[data-who=you] button:has-text("Play")')
  before = page.evaluate('counts.sent')
  page.click('#talk')
  page.wait_for_timeout(200)
  assert page.evaluate('counts.state') == 'idle' and page.evaluate('counts.sent') - before < 16000


def test_muted_it_sends_silence_and_stays(visit, server):
  page = visit()
  page.click('#talk')
  until(page, 'counts.sent > 0')
  page.click('#mute')
  page.wait_for_timeout(200)
  server.heard.clear()
  page.wait_for_timeout(1500)                    # the question comes in this time
  assert len(server.heard) > 20 and not any(block.any() for _, block in server.heard)
  assert page.get_attribute('#mute', 'aria-pressed') == 'true' and len(server.transports) == 1


def test_held_down_the_space_bar_is_a_turn(visit, server):
  page = visit()
  page.select_option('#detection', 'push')
  page.click('#talk')
  until(page, 'counts.state === "listening"')
  page.wait_for_timeout(300)
  assert not server.heard                        # nothing is sent before
  page.keyboard.down('Space')                    # the focus is on the button that would end the conversation
  page.wait_for_timeout(800)
  page.keyboard.up('Space')
  until(page, 'counts.replies === 1 && counts.state === "listening"', 10)
  kinds = [event['type'] for event in server.events]
  assert kinds.index('input_audio_buffer.commit') < kinds.index('response.create')
  assert page.locator('#turns li').count() == 2
  assert server.events[0]['session']['audio']['input']['turn_detection'] is None


def test_in_full_duplex_the_page_cuts_nothing(visit, server):
  page = visit()
  page.select_option('#detection', 'duplex')
  page.click('#talk')
  until(page, 'counts.state === "speaking"')
  server.tell('input_audio_buffer.speech_started', item_id='u', audio_start_ms=0)
  page.wait_for_timeout(200)
  assert page.evaluate('[counts.state, counts.interrupted]') == ['speaking', 0]
  assert server.events[0]['session']['audio']['input']['turn_detection'] == {'type': 'full_duplex'}


def test_a_recording_is_answered_without_a_microphone(visit, server, microphone, tmp_path):
  server.paced = False
  page = visit(script='navigator.mediaDevices.getUserMedia = async () => { throw new DOMException("", "NotFoundError"); };')
  page.click('#talk')
  page.wait_for_selector('#banner:has-text("No microphone")')
  sound, rate = soundfile.read(microphone, stop=32000)
  soundfile.write(tmp_path / 'question.flac', np.stack([sound, sound], 1), 32000)      # heard twice as fast: 1 s
  page.set_input_files('#upload', tmp_path / 'question.flac')
  until(page, 'counts.replies === 1 && counts.state === "ready"', 10)
  heard = np.concatenate([block for _, block in server.heard])
  assert len(heard) == 16000 and not page.evaluate('counts.speaker.gaps')
  assert page.locator('#turns li').count() == 2
  (tmp_path / 'broken.wav').write_bytes(b'RIFF' + bytes(100))
  page.set_input_files('#upload', tmp_path / 'broken.wav')
  page.wait_for_selector('#banner:has-text("no sound")')
  soundfile.write(tmp_path / 'long.wav', np.zeros(31 * 8000), 8000)
  page.set_input_files('#upload', tmp_path / 'long.wav')
  page.wait_for_selector('#banner:has-text("30 seconds")')


def test_a_lost_connection_comes_back_with_what_was_chosen(visit, server):
  page = visit()
  page.wait_for_selector('#voice option[value=deep]', state='attached')
  page.select_option('#voice', 'deep')
  page.select_option('#emotion', 'happy')
  page.click('#talk')
  until(page, 'counts.connections === 1')
  server.drop()
  until(page, 'counts.connections === 2', 5)
  assert page.is_hidden('#banner')
  last = [event['session'] for event in server.events if event['type'] == 'session.update'][-1]
  assert last['audio']['output']['voice'] == 'deep' and last['telugu'] == {'emotion': 'happy'}
  page.reload()                                  # and is kept for the next visit
  until(page, 'document.querySelector("#voice").value === "deep"')


def test_a_server_that_knows_24_khz_alone_gets_it(visit, server):
  server.rates = (24000,)
  page = visit()
  page.click('#talk')
  until(page, 'counts.sent > 24000')
  assert {rate for rate, _ in server.heard} == {24000} and len(server.heard[0][1]) == 960
  assert page.is_hidden('#banner') and not page.evaluate('counts.errors')


def test_a_key_and_a_full_server_are_told(visit, server):
  server.key, server.full = 'abc', True
  page = visit()
  page.click('#talk')
  page.wait_for_selector('#banner:has-text("wants a key")')
  page.fill('#key', 'abc')
  page.click('#talk')
  page.wait_for_selector('#banner:has-text("places")')
  server.full = False
  until(page, 'counts.connections === 1', 8)


def test_a_page_from_elsewhere_without_tls_is_told_what_it_takes(visit, microphone):
  page = visit(script='Object.defineProperty(window, "isSecureContext", {value: false}); delete BaseAudioContext.prototype.audioWorklet;')
  page.click('#talk')
  page.wait_for_selector('#banner:has-text("https://")')
  page.set_input_files('#upload', microphone)              # its answer could not be heard either
  until(page, 'counts.errors.length === 2 && counts.state === "failed"')
  page.wait_for_selector('#banner:has-text("https://")')


def test_a_refused_microphone_is_told_in_telugu(visit):
  page = visit(script='navigator.mediaDevices.getUserMedia = async () => { throw new DOMException("", "NotAllowedError"); };')
  page.click('#language')
  page.click('#talk')
  page.wait_for_selector('#banner:has-text("అనుమతి లేదు")')
  assert page.get_attribute('html', 'lang') == 'te'


@pytest.mark.parametrize('width', [320, 390, 1280])
def test_the_page_fits_in_light_and_dark(visit, width):
  page = visit()
  page.set_viewport_size({'width': width, 'height': 800})
  shades = []
  for _ in range(3):
    assert page.evaluate('document.documentElement.scrollWidth') <= width
    shades.append(page.evaluate('getComputedStyle(document.body).backgroundColor'))
    page.click('#theme')
  assert len(set(shades)) == 2                   # the system's, dark, light
  for button in page.locator('button:visible, .button:visible').all():
    assert button.bounding_box()['height'] >= 44
  assert page.locator('button:not([type])').count() == 0


def test_resampling_in_blocks_is_that_of_the_whole_and_nothing_folds_back(visit):
  page = visit()
  chunked, whole, tone, folded = page.evaluate('''async () => {
    const { Resampler } = await import('/resampler.js');
    const noise = Float32Array.from({ length: 9600 }, (_, i) => Math.sin(i * i * 0.001));
    const one = new Resampler(44100, 16000), two = new Resampler(44100, 16000), parts = [];
    for (let at = 0; at < 9600; at += 128) parts.push(...one.push(noise.slice(at, at + 128)));
    const rms = (hertz) => {
      const x = Float32Array.from({ length: 48000 }, (_, i) => Math.sin(2 * Math.PI * hertz * i / 48000));
      const y = new Resampler(48000, 16000).push(x).slice(200, -200);
      return Math.sqrt(y.reduce((sum, v) => sum + v * v, 0) / y.length);
    };
    return [parts, [...two.push(noise)], rms(1000), rms(9500)];
  }''')
  assert np.allclose(chunked, whole, atol=1e-6)  # places are summed in another order
  assert abs(20 * np.log10(tone * 2 ** 0.5)) < 0.05
  assert 20 * np.log10(folded * 2 ** 0.5) < -60
