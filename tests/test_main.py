"""The command line: it teaches, and a mistake costs one line."""
import os
import re
import subprocess
import sys

import pytest

from telugu_s2s import main, usage
from telugu_s2s.errors import InputError

CONFIG = """'''Probe: tries the door. Nothing else.'''
import ml_collections
from ml_collections import config_dict

SIZES = ('toy', 'big')

def get_config(size='toy'):
  config = ml_collections.ConfigDict()
  config.job = 'sample'
  config.steps = {'toy': 5, 'big': 50}[size]    # updates
  config.mesh = (1, 1, 1)
  config.limit = config_dict.placeholder(int)
  config.names = ['a']
  config.data = dict(
      audio='',                                 # a folder
      batch=8)
  config.rates = dict(slow=1, fast=2)           # words
  return config
"""
JOB = """from telugu_s2s.errors import InputError

def run(config, workdir):
  if config.data.audio == 'missing':
    raise InputError('missing: no such folder;\\n  name one that is there')
  if config.data.audio == 'interrupt':
    raise KeyboardInterrupt
  if config.data.audio == 'bug':
    config.colour = 'red'
  print(f'{workdir} {config.steps} {config.mesh} {config.limit} {config.data.batch}')
"""
START = "import sys; from telugu_s2s import main; main.JOBS['sample'] = 'probe_job'; sys.exit(main.main(sys.argv))"


@pytest.fixture
def call(tmp_path):
  """Runs main in an empty folder, with a config and a job of the test's own; returns (exit status, stdout, stderr)."""
  (tmp_path / 'probe.py').write_text(CONFIG)
  (tmp_path / 'probe_job.py').write_text(JOB)
  env = {**os.environ, 'PYTHONPATH': f'{usage.ROOT}{os.pathsep}{tmp_path}'}

  def run(*arguments):
    done = subprocess.run([sys.executable, '-c', START, *arguments], cwd=tmp_path, env=env, capture_output=True, text=True)
    return done.returncode, done.stdout, done.stderr
  return run


def test_a_job_gets_its_config_and_a_folder_named_after_it(call, tmp_path):
  status, out, err = call('--config=probe.py:big', '--config.mesh=(2, 2, 2)', '--config.limit=7', '--config.data.batch=9')
  assert (status, out, err) == (0, 'runs/probe-big 50 (2, 2, 2) 7 9\n', '')
  assert (tmp_path / 'runs/probe-big').is_dir()


def test_the_order_of_arguments_does_not_matter(call):
  assert call('--config.steps=6', '--workdir', 'elsewhere', '--config', 'probe.py')[1] == 'elsewhere 6 (1, 1, 1) None 8\n'


@pytest.mark.parametrize('arguments,words', [
    (['--config=probe.py', '--config.stps=5'], ['stps', 'nearest: steps']),
    (['--config=probe.py', '--config.batch=5'], ["'batch'", 'nearest: data.batch']),
    (['--config=probe.py', '--config.zzz=5'], ['zzz', 'data, job, limit, mesh, names, rates, steps']),
    (['--config=probe.py', '--config.steps=five'], ['config.steps=five', 'int', 'such as 5']),
    (['--config=probe.py', '--config.steps=2.5'], ['config.steps=2.5', 'int']),
    (['--config=probe.py', '--config.limit=x'], ['config.limit=x', 'int']),
    (['--config=probe.py', '--config.mesh=(1,"a",1)'], ['mesh', 'such as (1, 1, 1)']),
    (['--config=probe.py', '--config.data=5'], ['group', 'data.audio, data.batch']),
    (['--config=probe.py', '--config.names=b'], ['names cannot be set here']),
    (['--config=probe.py', '--config.steps'], ['config.steps']),
    (['--config=probe.py', '--workdr=x'], ['workdr', 'workdir']),
    (['--config=probe.py', '--workdir=probe.py'], ['workdir=probe.py', 'exists']),
    (['--config=probe.py', 'stage2'], ["'stage2' is no flag"]),
    (['--config=probe.py', '--config=probe.py'], ['twice']),
    (['--config=probe.py:huge'], ["size 'huge'", 'toy, big']),
    (['--config=configs/none.py'], ['configs/none.py', 'no such file', 'configs/prepare.py']),
    (['--config'], ['no such file']),
    (['--config=.'], ['no such file']),
    (['--config=probe_job.py'], ['get_config']),
    (['--workdir=x'], ['--config=FILE is missing']),
    (['--config=probe.py', '--config.data.audio=missing'], ['missing: no such folder; name one']),
])
def test_a_mistake_is_one_line_and_exit_2(call, arguments, words):
  status, out, err = call(*arguments)
  assert (status, out) == (2, '')
  assert err.startswith('error: ') and err.count('\n') == 1
  for word in words:
    assert word in err


def test_a_file_that_is_not_python_is_one_line(call, tmp_path):
  (tmp_path / 'tone.py').write_bytes(b'RIFF\0\0\0\0WAVE\xff\xfe')
  status, _, err = call('--config=tone.py')
  assert status == 2 and err.startswith('error: --config=tone.py') and err.count('\n') == 1


def test_who_has_the_installed_package_alone_is_sent_to_the_repository(tmp_path, monkeypatch):
  monkeypatch.chdir(tmp_path)
  monkeypatch.setattr(usage, 'ROOT', str(tmp_path))
  for value in ('configs/stage2.py', None):
    with pytest.raises(InputError, match='there are none beside an installed package: .* clone'):
      main.parse(value, [])


@pytest.mark.parametrize('config', ['configs/serve.py', 'configs/benchmark.py:serving'])
def test_a_server_without_its_extra_is_one_line_that_names_it(config, tmp_path):
  start = "import sys; sys.modules['aiohttp'] = None; from telugu_s2s import main; sys.exit(main.main(sys.argv))"
  done = subprocess.run([sys.executable, '-c', start, f'--config={config}', f'--workdir={tmp_path}'], cwd=usage.ROOT, capture_output=True, text=True)
  assert done.returncode == 2 and re.fullmatch(r'error: .*aiohttp.*\.\[serving\].*\n', done.stderr)


@pytest.mark.skipif(sys.platform != 'linux', reason='a setting of glibc')
@pytest.mark.parametrize('own, seen', [(None, 'glibc.malloc.hugetlb=1'), ('glibc.malloc.arena_max=2', 'glibc.malloc.arena_max=2')])
def test_a_job_starts_with_large_pages_unless_the_user_has_settings_of_their_own(tmp_path, own, seen):
  (tmp_path / 'told.py').write_text("import os\n\ndef get_config():\n  raise SystemExit(f'{os.getpid()} {os.environ[\"GLIBC_TUNABLES\"]}')\n")
  env = {name: value for name, value in os.environ.items() if name != 'GLIBC_TUNABLES'} | ({'GLIBC_TUNABLES': own} if own else {})
  job = subprocess.Popen([sys.executable, '-m', 'telugu_s2s.main', f'--config={tmp_path / "told.py"}'], cwd=usage.ROOT, env=env,
                         stderr=subprocess.PIPE, text=True)
  assert job.communicate()[1] == f'{job.pid} {seen}\n'              # the same process: what signals it finds it


def test_a_fault_of_the_program_keeps_its_traceback(call):
  status, _, err = call('--config=probe.py', '--config.data.audio=bug')    # a locked config takes no new field
  assert status == 1 and 'Traceback' in err and 'probe_job.py' in err


def test_control_c_is_one_line_and_exit_130(call):
  assert call('--config=probe.py', '--config.data.audio=interrupt') == (130, '', 'interrupted\n')


@pytest.mark.parametrize('arguments', [[], ['--help'], ['-h']])
def test_help_names_every_job_and_loads_no_jax(call, arguments):
  status, out, err = call(*arguments)
  assert (status, err) == (0, '')
  for name in usage.names():
    assert f'--config={name} ' in out
  for word in ('--config.steps=', '--config.data.audio=', '--workdir', './launch/run', 'Examples'):
    assert word in out
  seen = subprocess.run([sys.executable, '-c', "import sys; from telugu_s2s import main; main.main(['main', '--help']); "
                         "sys.exit('jax' in sys.modules)"], cwd=usage.ROOT, capture_output=True)
  assert seen.returncode == 0


def test_help_can_be_cut_short():
  done = subprocess.run(['bash', '-c', f'"{sys.executable}" -m telugu_s2s.main --help | true'], cwd=usage.ROOT,
                        capture_output=True)
  assert done.stderr == b''


def test_help_for_a_config_shows_every_field_with_its_default_and_comment(call):
  out = call('--config=probe.py:big', '--help')[1]
  assert '--config.steps=50 ' in out and 'updates' in out
  assert '--config.data.audio= ' in out and 'a folder' in out
  assert '--config.data=' not in out
  assert re.search(r'--config.rates.fast=2 +words', out)


def test_help_tells_of_a_field_what_its_size_notes_and_of_several_in_a_line_each_its_part(call, tmp_path):
  (tmp_path / 'sized.py').write_text("""'''Sized.'''
import ml_collections

SIZES = ('one', 'two', 'three')

def get_config(size='one'):
  config = ml_collections.ConfigDict(dict(job='sample'))
  if size in SIZES:
    config.seed = 0                             # of all
  if size == 'one':
    config.run, config.steps = '', 5            # that is heard; updates
  if size in ('two', 'three'):
    config.run, config.steps = '', 6            # of both
  return config
""")
  out = [call(f'--config=sized.py{size}', '--help')[1] for size in ('', ':one', ':two')]
  for page, run, steps in zip(out, ('that is heard', 'that is heard', 'of both'), ('5  +updates', '5  +updates', '6  +of both')):
    assert re.search(f'--config.run=  +{run}\n', page) and re.search(f'--config.steps={steps}\n', page) and re.search('seed=0  +of all', page)


def test_the_fields_most_used_exist_in_stage_2(call):
  out = call('--config=configs/stage2.py', '--help')[1]    # found beside the package, from any folder
  for name in usage.MOST_USED:
    assert f'--config.{name}=' in out
