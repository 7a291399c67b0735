"""How fast a language model of the same size trains and speaks in PyTorch: `python -m telugu_s2s.evaluation.lm_peer SPEC`.

CSM (Sesame, 2025) as transformers has it, eager, with random weights: a backbone over frames and a depth decoder over a
frame's codes, of the sizes of ours. It says 8 slots a frame where ours says 9, and has one stream where ours has two.
"""
import json
import os
import sys
import time


def config_of(spec):
  """CSM's config of the sizes in `spec['model']`, those of lm/model.py."""
  import transformers
  c = spec['model']
  depth = dict(num_codebooks=c['codebooks'], backbone_hidden_size=c['width'], vocab_size=c['codes'],
               hidden_size=c['depth_width'], intermediate_size=c['depth_ffn'], num_hidden_layers=c['depth_layers'],
               num_attention_heads=c['depth_heads'], num_key_value_heads=c['depth_heads'],
               max_position_embeddings=c['codebooks'] + 1)
  # Its codec is never called; of Mimi the least that can be built.
  codec = dict(model_type='mimi', num_hidden_layers=1, hidden_size=32, upsample_groups=32, intermediate_size=32, num_filters=4)
  return transformers.CsmConfig(
      num_codebooks=c['codebooks'], vocab_size=c['codes'], text_vocab_size=8, hidden_size=c['width'],
      intermediate_size=c['ffn'], num_hidden_layers=c['layers'], num_attention_heads=c['heads'],
      num_key_value_heads=c['kv_heads'], head_dim=c['head_width'], max_position_embeddings=2 * spec['context'] + 1000,
      pad_token_id=0, codebook_pad_token_id=0, bos_token_id=1, audio_token_id=2, audio_eos_token_id=3,
      depth_decoder_config=depth, codec_config=codec)


def measure(spec) -> dict:
  """{name, parameters, train_frames_per_s, train_tokens_per_s, decode: {streams: {frame_ms}}}; `spec` as lm_speed.spec_of gives it."""
  import torch
  import transformers
  torch.set_num_threads(spec['threads'])
  torch.manual_seed(0)
  net = transformers.CsmForConditionalGeneration(config_of(spec))
  net.codec_model.requires_grad_(False)
  trained = [x for x in net.parameters() if x.requires_grad]
  optimiser = torch.optim.AdamW(trained, 1e-4)
  codes = torch.randint(0, spec['model']['codes'], (spec['batch'], spec['frames'], spec['model']['codebooks']))

  def train():
    net(input_ids=codes, labels=codes).loss.backward()
    torch.nn.utils.clip_grad_norm_(trained, 1.0)
    optimiser.step()
    optimiser.zero_grad()

  train_s = seconds(train, spec)
  result = {'name': f'CSM of transformers {transformers.__version__}, torch {torch.__version__}',
            'parameters': sum(x.numel() for x in trained),
            'train_frames_per_s': spec['batch'] * spec['frames'] / train_s, 'train_tokens_per_s': codes.numel() / train_s,
            'decode': {}}
  net.train(False)
  with torch.inference_mode():
    for streams in spec['streams']:
      result['decode'][str(streams)] = {'frame_ms': 1000 * seconds(speaker(net, spec, streams), spec)}
  return result


def speaker(net, spec, streams):
  """A call that says one more frame of so many streams, behind `spec['context']` frames; no generate() around it."""
  import torch
  from transformers import DynamicCache
  cache = DynamicCache(config=net.backbone_model.config)
  said = [torch.randint(0, spec['model']['codes'], (streams, spec['context'], spec['model']['codebooks']))]
  net.backbone_model(input_ids=said[0], past_key_values=cache, use_cache=True)
  said[0] = said[0][:, -1:]

  def draw(logits):
    best, where = torch.topk(logits, spec['top_k'])
    return where.gather(1, torch.multinomial(torch.softmax(best / spec['temperature'], -1), 1))

  def frame():
    h = net.backbone_model(input_ids=said[0], past_key_values=cache, use_cache=True).last_hidden_state[:, -1]
    codes = [draw(net.lm_head(h))]
    depth = DynamicCache(config=net.depth_decoder.config)
    read, extra = torch.nn.functional.pad(codes[0], (1, 0)), {'backbone_last_hidden_state': h}
    while len(codes) < spec['model']['codebooks']:
      logits = net.depth_decoder(input_ids=read, past_key_values=depth, use_cache=True, logits_to_keep=1, **extra).logits
      codes.append(draw(logits[:, -1]))
      read, extra = codes[-1], {}
    said[0] = torch.cat(codes, 1)[:, None]
  return frame


def keep_to_cores(threads: int) -> None:
  """Keeps this process to so many cores, before its libraries start their threads; 0 = all. Where the system can do it."""
  if threads and hasattr(os, 'sched_setaffinity'):
    os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:threads])


def seconds(call, spec) -> float:
  """Least seconds of a call after one that warms up: CPU time of one thread, which other programs do not lengthen; else wall."""
  clock = time.process_time if spec['threads'] == 1 else time.perf_counter
  call()
  found, begun = [], clock()
  while len(found) < 3 or clock() - begun < spec['seconds']:
    start = clock()
    call()
    found.append(clock() - start)
  return min(found)


if __name__ == '__main__':
  given = json.loads(sys.argv[1])
  keep_to_cores(given['threads'])
  print(json.dumps(measure(given)))
