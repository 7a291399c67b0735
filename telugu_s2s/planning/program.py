"""What a compiled program does: products and messages between devices, read from XLA's text of it.

XLA's own cost analysis counts the body of a loop once; here it counts as often as it runs.
"""
import collections
import math
import re

COLLECTIVES = ('all-reduce', 'all-gather', 'reduce-scatter', 'all-to-all', 'collective-permute')
BYTES = {'pred': 1, 's8': 1, 'u8': 1, 'bf16': 2, 'f16': 2, 's16': 2, 'u16': 2, 'f32': 4, 's32': 4, 'u32': 4, 'f64': 8,
         's64': 8, 'u64': 8}
ARRAY = re.compile(r'\b(' + '|'.join(BYTES) + r')\[([\d,]*)\]')
HEAD = re.compile(r'^(ENTRY )?%([\w.\-]+) \(.*\{$')
LINE = re.compile(r'^\s+(?:ROOT )?%([\w.\-]+) = (.*)$')
CALLED = re.compile(r'(?:calls|to_apply|body|condition)=%([\w.\-]+)')
BRANCHES = re.compile(r'branch_computations=\{([^}]*)\}')
TRIPS = re.compile(r'"known_trip_count":\{"n":"(\d+)"\}')


def size(text: str) -> int:
  """Bytes of the arrays that a type names: 'f32[2,3]{1,0}' is 24, a tuple the sum of its parts."""
  return sum(BYTES[kind] * math.prod(map(int, filter(None, shape.split(',')))) for kind, shape in ARRAY.findall(text))


def shape_of(text: str) -> list[int]:
  """[2, 3] of 'f32[2,3]{1,0}'."""
  return [int(one) for one in ARRAY.search(text)[2].split(',') if one]


def parts(text: str):
  """The computations of a program: (name of the entry, {name: [(instruction, its type and what follows)]})."""
  entry, found, now = None, {}, None
  for line in text.splitlines():
    if head := HEAD.match(line):
      now = found.setdefault(head[2], [])
      entry = head[2] if head[1] else entry
    elif now is not None and (one := LINE.match(line)):
      now.append((one[1], one[2]))
  return entry, found


def operation(rest: str) -> tuple[str, str, str]:
  """(type, operation, what follows) of the right side of an instruction; the type may be a tuple."""
  rest = re.sub(r'/\*.*?\*/', '', rest)
  found = re.match(r'(\(.*?\)|\S+) ([\w\-]+)\((.*)$', rest)
  return (found[1], found[2], found[3]) if found else ('', '', '')


def product(kind: str, rest: str, types: dict) -> float:
  """FLOP of a dot: twice its result's size times what it contracts."""
  contracted = re.search(r'lhs_contracting_dims=\{([\d,]*)\}', rest)[1]
  left = types[re.search(r'%([\w.\-]+)', rest)[1]]
  return 2.0 * math.prod(shape_of(kind)) * math.prod(shape_of(left)[int(axis)] for axis in contracted.split(',') if axis)


def counted(text: str) -> dict:
  """{flops, collectives: {name: (times, bytes received by one device)}} of one run of a compiled program, on one device.

  text: of `compiled.as_text()`.

  Raises:
    ValueError: a loop does not say how often it runs.
  """
  entry, computations = parts(text)
  flops, times, received = 0.0, collections.Counter(), collections.Counter()

  def walk(name, often):
    nonlocal flops
    split = {label: operation(rest) for label, rest in computations[name]}
    types = {label: kind for label, (kind, _, _) in split.items()}
    for label, (kind, what, rest) in split.items():
      what = what.removesuffix('-start')
      if what in COLLECTIVES:
        times[what] += often
        received[what] += often * size(kind)
      elif what == 'dot':
        flops += often * product(kind, rest, types)
      runs = often
      if what == 'while':
        trips = TRIPS.search(rest)
        if not trips:
          raise ValueError(f'the loop {label} does not say how often it runs')
        runs *= int(trips[1])
      if what not in COLLECTIVES:
        branches = BRANCHES.search(rest)
        for called in CALLED.findall(rest) + (re.findall(r'%([\w.\-]+)', branches[1]) if branches else []):
          walk(called, runs)

  walk(entry, 1)
  return {'flops': flops, 'collectives': {name: (times[name], received[name]) for name in COLLECTIVES if times[name]}}
