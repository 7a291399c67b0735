"""Stage 2 with its text slot: words are aligned and learnt, and what is missing for it is named."""
import json
import os
import runpy

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from telugu_s2s import usage
from telugu_s2s.codec import aligner, weights
from telugu_s2s.errors import InputError
from telugu_s2s.evaluation import answering, recipes, reply
from telugu_s2s.tokens import batches, graphemes, vocabulary
from telugu_s2s.training import runs, stage2, stage3, stage4, texts

from tests.corpora.excerpt import excerpt
from tests.training import test_voices

LM = dict(width=16, layers=2, heads=4, kv_heads=2, head_width=6, ffn=20, depth_width=8, depth_layers=1, depth_heads=2,
          depth_ffn=12, window=512, text_codes=0, delay=1)
STEPS = 24

pytestmark = pytest.mark.slow


@pytest.fixture(scope='module')
def given(audio, tmp_path_factory):
  """The files of a vocabulary and of an untrained aligner for the folder's transcripts."""
  place = tmp_path_factory.mktemp('text')
  lines = (audio / 'MANIFEST.tsv').read_text(encoding='utf-8').splitlines()
  texts = [line.split('\t')[lines[0].split('\t').index('text')] for line in lines[1:]]
  vocabulary.save(place / 'vocabulary.model', vocabulary.trained(texts, 440), {})
  table, config = graphemes.table(texts, 1), aligner.Config(width=8, layers=1)
  network = aligner.Aligner(config, len(table) + 1)
  params = jax.jit(network.init)(jax.random.key(0), jnp.zeros((1, 4, 160)), jnp.ones(1, jnp.int32))['params']
  (place / 'aligner.safetensors').write_bytes(aligner.to_bytes(params, config, table, {}))
  return place


def made(audio, codec_file, given, **text):
  config = runpy.run_path(os.path.join(usage.ROOT, 'configs/stage2.py'))['get_config']()
  config.update(dict(codec=str(codec_file), steps=STEPS, batch=8, frames=100, warmup=2, log_every=8, save_every=STEPS,
                     evaluate_every=STEPS, prompt_frames=6, continue_frames=5, lr=2e-2, model=LM))
  config.data.update(dict(audio=str(audio), workers=0))
  config.text.update(dict(vocabulary=str(given / 'vocabulary.model'), aligner=str(given / 'aligner.safetensors'), least=0.0,
                          ahead=(10, 20), behind=(6, 20)))
  config.text.update(text)
  return config


@pytest.fixture(scope='module')
def done(audio, codec_file, given, tmp_path_factory):
  """The folder of a finished run."""
  workdir = tmp_path_factory.mktemp('run')
  config = made(audio, codec_file, given)
  stage2.run(config, workdir)
  assert config.model.text_codes == 0                          # the caller's stays as it was
  return workdir


def test_the_loss_of_the_text_falls(done):
  lines = [json.loads(line) for line in (done / 'log.jsonl').read_text().splitlines()]
  text = [line['train/text'] for line in lines if 'train/text' in line]
  assert len(text) == STEPS and np.mean(text[-4:]) < 0.75 * np.mean(text[:4])
  scores = json.loads((done / 'summary.json').read_text())['held_out']
  assert 0 < scores['text'] < 0.75 * text[0]


def test_the_tokens_have_their_words_and_the_run_its_vocabulary(done, given, codec_file):
  name = weights.load(codec_file).name
  clips = batches.Clips(done / 'aligned' / 'train', name)
  assert clips.manifest['words'] == {'aligned': 5} and len(batches.Clips(done / 'tokens' / 'train', name)) == 5
  for clip in clips:
    assert [word.text for word in clip.words] == clip.labels['text'].split()
  words = vocabulary.load(done / 'vocabulary.model')
  assert json.loads((done / 'config.json').read_text())['model']['text_codes'] == len(words)
  model, params, _ = runs.loaded(done)
  assert model.text_codes == len(words) == params['text_vd'].shape[0]


def test_another_vocabulary_or_none_at_all_ends_a_run_that_was_begun(done, audio, codec_file, given, tmp_path):
  vocabulary.save(tmp_path / 'other', vocabulary.trained(['మరొక మాట'], 440), {})
  with pytest.raises(InputError, match='was begun with vocabulary'):
    stage2.run(made(audio, codec_file, given, vocabulary=str(tmp_path / 'other')), done)
  with pytest.raises(InputError, match='was begun with'):
    stage2.run(made(audio, codec_file, given, vocabulary=''), done)


def test_what_the_slot_lacks_is_named(done, audio, codec_file, given, tmp_path):
  with pytest.raises(InputError, match='config.text.aligner is empty'):
    stage2.run(made(audio, codec_file, given, aligner=''), tmp_path)
  with pytest.raises(InputError, match='no such vocabulary'):
    stage2.run(made(audio, codec_file, given, vocabulary='no/such'), tmp_path)
  with pytest.raises(InputError, match='text.shares'):
    stage2.run(made(audio, codec_file, given, shares=(0.0, 0.0, 0.0)), tmp_path)
  config = made(audio, codec_file, given, aligner='')
  config.data.tokens = str(done / 'tokens')
  with pytest.raises(InputError, match='no clip has words.*configs/align.py'):
    stage2.run(config, tmp_path)


def test_without_a_vocabulary_a_size_that_has_a_text_slot_goes_without():
  config = recipes.of('stage2', '500m')
  chosen, text = texts.chosen(config)
  assert config.model.text_codes > 0 == chosen.model.text_codes and text is None
  with pytest.raises(InputError, match='no size .huge.; give one of toy, 150m'):
    recipes.of('stage2', 'huge')


@pytest.fixture(scope='module')
def answers(codec_file, given, tmp_path_factory):
  """The folders of a stage 3 and a stage 4 run that answer in words, of four exchanges of train and two of eval."""
  folder, at = excerpt(tmp_path_factory.mktemp('dialogues'), 8, 4), tmp_path_factory.mktemp('runs')
  config = test_voices.made(folder, codec_file)
  config.text.update(dict(vocabulary=str(given / 'vocabulary.model'), aligner=str(given / 'aligner.safetensors'), least=0.0, shares=(1.0, 0.0, 0.0)))
  stage2.run(config, at / 'stage2')
  heard = dict(heard__views=0, heard__echoes=0, frames=400, save_every=10, evaluate_every=10)
  stage3.run(recipes.of('stage3', run=str(at / 'stage2'), steps=10, **heard), at / 'stage3')
  stage4.run(recipes.of('stage4', run=str(at / 'stage3'), steps=6, preference_steps=3, **heard), at / 'stage4')
  return at, folder


def test_stages_3_and_4_go_on_with_the_words(answers, given):
  at, _ = answers
  for stage in ('stage3', 'stage4'):
    lines = [json.loads(line) for line in (at / stage / 'log.jsonl').read_text().splitlines()]
    assert all(line['train/text'] > 0 for line in lines if 'train/loss' in line)
    assert (at / stage / 'vocabulary.model').read_bytes() == (given / 'vocabulary.model').read_bytes()
  first, then = (runs.loaded(at / stage)[1]['text_vd'] for stage in ('stage2', 'stage4'))
  assert np.abs(first - then).max() > 0


def test_an_answer_is_told_in_words(answers, tmp_path, capsys):
  at, folder = answers
  reply.run(recipes.of('reply', run=str(at / 'stage4'), seconds=1.0, count=1), tmp_path)
  assert ', in words: ' in capsys.readouterr().out
  answering.run(recipes.of('answers', run=str(at / 'stage4'), dialogues=str(folder), questions=str(folder), seconds=1.0), tmp_path)
  found = json.loads((tmp_path / 'answers.json').read_text())
  assert found['words']['n'] == found['model']['n'] > 0


def test_tokens_without_words_are_refused_by_a_run_that_has_them(answers, tmp_path):
  at, _ = answers
  with pytest.raises(InputError, match='no clip has words.*configs/align.py'):
    stage3.run(recipes.of('stage3', run=str(at / 'stage2'), data__tokens=str(at / 'stage2' / 'tokens'), steps=2), tmp_path)
