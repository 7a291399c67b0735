"""The speed of the language model: what is timed is what is asked for, and a frame reads what its model holds."""
import math
from types import SimpleNamespace

import jax
import pytest

from telugu_s2s.evaluation import lm_peer, lm_speed
from telugu_s2s.lm import sampling
from telugu_s2s.planning import compute

from tests.lm.test_audio_lm import SMALL, made

NAMES = ('width', 'layers', 'heads', 'kv_heads', 'head_width', 'ffn', 'depth_width', 'depth_layers', 'depth_heads', 'depth_ffn',
         'prosody_codes', 'codebooks', 'codes', 'delay', 'user_every', 'sinks')
SPEC = {'size': 'small', 'model': {name: getattr(SMALL, name) for name in NAMES}, 'threads': 1, 'batch': 2, 'frames': 6, 'context': 12,
        'streams': [2], 'seconds': 0.0, 'dtype': 'float32', 'temperature': 0.8, 'top_k': 5}


@pytest.mark.slow
def test_every_number_is_measured(capsys):
  found = lm_speed.measure_ours(SPEC)
  timed = [found['train_frames_per_s'], found['copy_gb_per_s'], *found['decode']['2'].values(), found['int8']['frame_ms']]
  assert all(0 < value < math.inf for value in timed)
  assert found['parameters'] == sum(x.size for x in jax.tree.leaves(made(SMALL)))
  assert found['int8']['megabytes'] < found['bfloat16']['megabytes'] < 4e-6 * found['parameters']
  lm_speed.show('small', SPEC, found, {'name': 'peer', 'parameters': 1e6, 'train_frames_per_s': 2 * found['train_frames_per_s'],
                                       'train_tokens_per_s': found['train_tokens_per_s'],
                                       'decode': {'2': {'frame_ms': 3 * found['decode']['2']['frame_ms']}}})
  assert '(0.50 x the peer)' in (said := capsys.readouterr().out) and '(3.00 x the peer)' in said


def test_a_frame_reads_all_matrices_its_memory_and_no_whole_table():
  params = made(SMALL)
  memory = sum(x.nbytes for x in jax.tree.leaves(sampling.empty_state(SMALL, 3)['cache']))
  tables = sum(x.nbytes for name, x in params.items() if name.endswith('vd'))
  assert lm_speed.touched(params, SMALL, 3) == sum(x.nbytes for x in jax.tree.leaves(params)) - tables + memory


def test_seconds_are_the_least_of_three_at_least():
  calls = []
  assert lm_peer.seconds(lambda: calls.append(0), SPEC) >= 0 and len(calls) == 4


@pytest.mark.parametrize('kind, peak', [
    ('NVIDIA L40', 181e12), ('NVIDIA L40S', 362e12), ('NVIDIA H100 80GB HBM3', 989e12), ('NVIDIA H100 PCIe', 756e12), ('NVIDIA H200', 989e12),
    ('NVIDIA A100-SXM4-80GB', 312e12), ('NVIDIA L4', None), ('NVIDIA A100-SXM4-40GB MIG 1g.5gb', None), ('TPU v5 lite', None), ('cpu', None)])
def test_a_share_of_the_peak_is_told_of_devices_whose_peak_is_known(monkeypatch, kind, peak):
  monkeypatch.setattr(jax, 'devices', lambda: [SimpleNamespace(device_kind=kind)])
  flops = compute.flops(SMALL, 100)
  found = lm_speed.used(SMALL, 100, 1e6)
  assert found == ({'mfu': pytest.approx(1e6 * (sum(flops.values()) - flops['attention'] / 2) / peak)} if peak else {})
