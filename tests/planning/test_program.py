"""What is read from a compiled program: loops count as often as they run."""
import pytest

from telugu_s2s.planning import program

TEXT = """HloModule jit_step

%add (a: f32[], b: f32[]) -> f32[] {
  %a = f32[] parameter(0)
  %b = f32[] parameter(1)
  ROOT %sum = f32[] add(%a, %b)
}

%body (state: (s32[], f32[4,8])) -> (s32[], f32[4,8]) {
  %state = (s32[], f32[4,8]{1,0}) parameter(0)
  %x = f32[4,8]{1,0} get-tuple-element(%state), index=1
  %w = f32[8,8]{1,0} constant({...})
  %all-gather.1 = f32[8,8]{1,0} all-gather(%w), dimensions={0}
  %dot.1 = f32[4,8]{1,0} dot(%x, %all-gather.1), lhs_contracting_dims={1}, rhs_contracting_dims={0}
  ROOT %next = (s32[], f32[4,8]{1,0}) tuple(%i, %dot.1)
}

%test (state: (s32[], f32[4,8])) -> pred[] {
  %state = (s32[], f32[4,8]{1,0}) parameter(0)
  ROOT %less = pred[] compare(%i, %n), direction=LT
}

ENTRY %main (p0: f32[4,8]) -> f32[] {
  %p0 = f32[4,8]{1,0} parameter(0)
  %while.1 = (s32[], f32[4,8]{1,0}) while(%init), condition=%test, body=%body, backend_config={"known_trip_count":{"n":"5"}}
  %many = (bf16[3]{0}, /*index=1*/f32[2]{0}) all-reduce(%u, %v), to_apply=%add
  ROOT %out = f32[] reduce(%y, %zero), dimensions={0,1}, to_apply=%add
}
"""


def test_products_and_messages_in_a_loop_count_as_often_as_it_runs():
  found = program.counted(TEXT)
  assert found['flops'] == 5 * 2 * 4 * 8 * 8
  assert found['collectives'] == {'all-reduce': (1, 3 * 2 + 2 * 4), 'all-gather': (5, 5 * 8 * 8 * 4)}


def test_a_loop_of_unknown_length_is_named():
  with pytest.raises(ValueError, match='while.1'):
    program.counted(TEXT.replace('known_trip_count', 'something'))


@pytest.mark.parametrize('text, bytes', [('f32[2,3]{1,0}', 24), ('pred[]', 1), ('(bf16[4]{0}, s32[], u8[5]{0})', 17)])
def test_types_have_sizes(text, bytes):
  assert program.size(text) == bytes
