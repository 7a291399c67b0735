"""Archives from strangers: nothing leaves the folder, limits hold, damage is named, what is whole is kept."""
import io
import random
import tarfile
import zipfile

import pytest

from telugu_s2s.corpora import archives
from telugu_s2s.errors import InputError

TRAPS = ('../out', '/etc/out', 'a/../../out', 'C:/out', 'a/C:/out', 'a\\..\\out', '..', 'x' * 250)


def zipped(path, members, **options):
  with zipfile.ZipFile(path, 'w', zipfile.ZIP_DEFLATED) as file:
    for name, data in members:
      file.writestr(name, data)
  return path


def tarred(path, members, mode='w:gz'):
  with tarfile.open(path, mode) as file:
    for name, data in members:
      one = tarfile.TarInfo(name)
      one.size = len(data)
      file.addfile(one, io.BytesIO(data))
  return path


def inside(folder):
  return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob('*') if path.is_file()}


@pytest.mark.parametrize('pack, name', [(zipped, 'a.zip'), (tarred, 'a.tar.gz'),
                                        (lambda path, members: tarred(path, members, 'w'), 'a.tar'),
                                        (lambda path, members: tarred(path, members, 'w:bz2'), 'a.tar.bz2'),
                                        (lambda path, members: tarred(path, members, 'w:xz'), 'a.tar.xz')])
def test_sound_members_come_out_as_they_went_in(tmp_path, pack, name):
  members = [('te/one.wav', b'1' * 1000), ('./two.txt', 'తెలుగు'.encode()), ('empty', b'')]
  assert archives.unpack(pack(tmp_path / name, members), tmp_path / 'out') == []
  assert inside(tmp_path / 'out') == {'te/one.wav': b'1' * 1000, 'two.txt': 'తెలుగు'.encode(), 'empty': b''}


@pytest.mark.parametrize('pack, name', [(zipped, 'a.zip'), (tarred, 'a.tar.gz')])
@pytest.mark.parametrize('trap', TRAPS)
def test_a_path_that_leads_outside_is_refused_and_the_others_go_on(tmp_path, pack, name, trap):
  inner = tmp_path / 'deep' / 'out'
  refused = archives.unpack(pack(tmp_path / name, [(trap, b'x'), ('good', b'y')]), inner)
  assert [one.reason for one in refused] == ['outside'] and inside(inner) == {'good': b'y'}
  assert {path.name for path in tmp_path.rglob('*')} == {name, 'deep', 'out', 'good'}


@pytest.mark.parametrize('kind, reason', [(tarfile.SYMTYPE, 'link'), (tarfile.LNKTYPE, 'link'), (tarfile.CHRTYPE, 'device'),
                                          (tarfile.FIFOTYPE, 'device')])
def test_links_and_devices_of_a_tar_are_refused(tmp_path, kind, reason):
  with tarfile.open(tmp_path / 'a.tar', 'w') as file:
    one = tarfile.TarInfo('link')
    one.type, one.linkname = kind, '../../etc/passwd'
    file.addfile(one)
    one = tarfile.TarInfo('link/inside')
    one.size = 1
    file.addfile(one, io.BytesIO(b'x'))
  refused = archives.unpack(tmp_path / 'a.tar', tmp_path / 'out')
  assert [one.reason for one in refused] == [reason] and inside(tmp_path / 'out') == {'link/inside': b'x'}


def test_a_link_of_a_zip_is_refused(tmp_path):
  with zipfile.ZipFile(tmp_path / 'a.zip', 'w') as file:
    one = zipfile.ZipInfo('link')
    one.external_attr = 0o120777 << 16
    file.writestr(one, '/etc/passwd')
  assert [one.reason for one in archives.unpack(tmp_path / 'a.zip', tmp_path / 'out')] == ['link'] and not inside(tmp_path / 'out')


@pytest.mark.filterwarnings('ignore:Duplicate name')
@pytest.mark.parametrize('names', [('a', 'a'), ('a', 'A'), ('a', 'a/b'), ('a/b', 'a'), ('a/b', 'A/B')])
def test_the_first_of_two_members_of_one_name_is_kept(tmp_path, names):
  refused = archives.unpack(zipped(tmp_path / 'a.zip', [(names[0], b'1'), (names[1], b'2')]), tmp_path / 'out')
  assert [one.reason for one in refused] == ['duplicate'] and list(inside(tmp_path / 'out').values()) == [b'1']


def test_limits_hold_whatever_headers_say(tmp_path):
  bomb = zipped(tmp_path / 'bomb.zip', [('zeros', bytes(64 * 2**20))])
  with pytest.raises(InputError, match='bomb'):
    archives.unpack(bomb, tmp_path / 'one')
  assert inside(tmp_path / 'one') == {}
  many = zipped(tmp_path / 'many.zip', [(str(i), b'x' * 100) for i in range(20)])
  with pytest.raises(InputError, match='more than 10 files'):
    archives.unpack(many, tmp_path / 'two', most_files=10)
  with pytest.raises(InputError, match='1000 bytes'):
    archives.unpack(many, tmp_path / 'three', most_bytes=1000)


def test_only_what_is_wanted_is_unpacked(tmp_path):
  path = tarred(tmp_path / 'a.tar.gz', [('te/a', b'1'), ('hi/b', b'2')])
  archives.unpack(path, tmp_path / 'out', wanted=lambda name: name.startswith('te/'))
  assert inside(tmp_path / 'out') == {'te/a': b'1'}


def test_a_truncated_tar_keeps_what_is_whole_and_says_so(tmp_path):
  noise = random.Random(0).randbytes
  path = tarred(tmp_path / 'a.tar.gz', [(f'{i}', noise(10_000)) for i in range(5)])
  path.write_bytes(path.read_bytes()[:30_000])
  refused = archives.unpack(path, tmp_path / 'out')
  assert {one.reason for one in refused} == {'corrupt'} and sorted(inside(tmp_path / 'out')) == ['0', '1']


def test_one_damaged_member_of_a_zip_costs_only_itself(tmp_path):
  path = tmp_path / 'a.zip'
  with zipfile.ZipFile(path, 'w') as file:
    for name in 'abc':
      file.writestr(name, name * 500)
  path.write_bytes(path.read_bytes().replace(b'b' * 500, b'b' * 499 + b'x', 1))
  refused = archives.unpack(path, tmp_path / 'out')
  assert [(one.name, one.reason) for one in refused] == [('b', 'corrupt')] and sorted(inside(tmp_path / 'out')) == ['a', 'c']


def test_what_is_no_archive_is_refused(tmp_path):
  (tmp_path / 'a.zip').write_bytes(b'<html>not found</html>')
  with pytest.raises(InputError, match='a.zip'):
    archives.unpack(tmp_path / 'a.zip', tmp_path / 'out')


@pytest.mark.parametrize('pack, name', [(zipped, 'a.zip'), (tarred, 'a.tar.gz'),
                                        (lambda path, members: tarred(path, members, 'w'), 'a.tar')])
def test_a_thousand_mutations_crash_nothing_and_write_nothing_outside(tmp_path, pack, name):
  dice = random.Random(1)
  whole = pack(tmp_path / name, [('a/one', b'1' * 300), ('two', b'22' * 100)]).read_bytes()
  (tmp_path / 'in').mkdir()
  for number in range(1000):
    data = bytearray(whole)
    for _ in range(dice.randint(1, 4)):
      at = dice.randrange(len(data))
      if dice.random() < 0.2:
        data = data[:at + 1]
      data[dice.randrange(len(data))] ^= 1 << dice.randrange(8)
    (tmp_path / name).write_bytes(data)
    try:
      archives.unpack(tmp_path / name, tmp_path / 'in' / str(number))
    except InputError:
      pass
  assert {path.name for path in tmp_path.iterdir()} == {name, 'in'}
  assert {path.name for path in (tmp_path / 'in').iterdir()} <= {str(number) for number in range(1000)}


def test_a_tar_that_ends_with_a_zip_is_still_a_tar(tmp_path):
  inner = zipped(tmp_path / 'inner.zip', [('evil', b'x')]).read_bytes()
  path = tarred(tmp_path / 'a.tar', [('good.zip', inner)], 'w')
  path.write_bytes(path.read_bytes() + inner)
  archives.unpack(path, tmp_path / 'out')
  assert inside(tmp_path / 'out') == {'good.zip': inner}


def test_a_tar_cut_between_members_is_said_to_be_cut(tmp_path):
  path = tarred(tmp_path / 'a.tar', [('a', b'1' * 512), ('b', b'2' * 512)], 'w')
  path.write_bytes(path.read_bytes()[:1024])              # the header and content of the first
  assert [one.reason for one in archives.unpack(path, tmp_path / 'out')] == ['corrupt'] and list(inside(tmp_path / 'out')) == ['a']


def test_a_link_that_stands_in_the_folder_already_is_not_followed(tmp_path):
  (tmp_path / 'out').mkdir()
  (tmp_path / 'elsewhere').mkdir()
  (tmp_path / 'out' / 'te').symlink_to(tmp_path / 'elsewhere')
  refused = archives.unpack(zipped(tmp_path / 'a.zip', [('te/x', b'1'), ('good', b'2')]), tmp_path / 'out')
  assert [one.reason for one in refused] == ['outside'] and not list((tmp_path / 'elsewhere').iterdir())


def test_refused_members_count_against_the_limit_of_files(tmp_path):
  with pytest.raises(InputError, match='more than 10 files'):
    archives.unpack(zipped(tmp_path / 'a.zip', [(f'../{i}', b'') for i in range(20)]), tmp_path / 'out', most_files=10)


@pytest.mark.parametrize('method', [zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_a_zip_method_that_cannot_be_bounded_is_refused_by_name(tmp_path, method):
  with zipfile.ZipFile(tmp_path / 'a.zip', 'w') as file:
    file.writestr('odd', b'x', method)
    file.writestr('good', b'y')
  refused = archives.unpack(tmp_path / 'a.zip', tmp_path / 'out')
  assert [(one.name, one.reason) for one in refused] == [('odd', 'compression')] and list(inside(tmp_path / 'out')) == ['good']


def flipped(path, at):
  data = bytearray(path.read_bytes())
  data[at] ^= 1
  path.write_bytes(data)
  return path


def test_a_damaged_header_inside_a_tar_is_named_not_taken_for_its_end(tmp_path):
  path = flipped(tarred(tmp_path / 'a.tar', [(name, b'x') for name in 'abc'], 'w'), 1024 + 5)
  assert [(one.name, one.reason) for one in archives.unpack(path, tmp_path / 'out')] == [('', 'corrupt')]
  assert sorted(inside(tmp_path / 'out')) == ['a']


@pytest.mark.parametrize('size', [1024, 1024 + 100])
def test_a_tar_cut_between_two_members_or_in_a_header_is_named(tmp_path, size):
  path = tarred(tmp_path / 'a.tar', [(name, b'x') for name in 'abc'], 'w')
  path.write_bytes(path.read_bytes()[:size])
  assert [one.reason for one in archives.unpack(path, tmp_path / 'out')] == ['corrupt'] and sorted(inside(tmp_path / 'out')) == ['a']


def test_the_checksum_at_the_end_of_a_gz_is_read(tmp_path):
  path = flipped(tarred(tmp_path / 'a.tar.gz', [('a', b'x' * 50)]), -6)
  assert [(one.name, one.reason) for one in archives.unpack(path, tmp_path / 'out')] == [('', 'corrupt')]


def test_what_stands_in_the_folder_and_is_in_the_way_is_named_and_a_second_run_is_the_same(tmp_path):
  (tmp_path / 'out' / 'b').mkdir(parents=True)
  (tmp_path / 'out' / 'c').write_bytes(b'')
  path = tarred(tmp_path / 'a.tar', [('a', b'1'), ('b', b'2'), ('c/d', b'3')], 'w')
  for _ in range(2):
    assert [one.name for one in archives.unpack(path, tmp_path / 'out')] == ['b', 'c/d']
    assert inside(tmp_path / 'out') == {'a': b'1', 'c': b''}


@pytest.mark.parametrize('first, second', [('a/', 'a'), ('a', 'a/')])
def test_a_folder_and_a_file_of_one_name_clash(tmp_path, first, second):
  refused = archives.unpack(zipped(tmp_path / 'a.zip', [(first, b''), (second, b'')]), tmp_path / 'out')
  assert [(one.name, one.reason) for one in refused] == [(second, 'duplicate')]


def test_two_spellings_of_one_accent_are_one_name(tmp_path):
  refused = archives.unpack(zipped(tmp_path / 'a.zip', [('\xe9', b'1'), ('e\u0301', b'2')]), tmp_path / 'out')
  assert [one.reason for one in refused] == ['duplicate']


def test_a_name_with_a_nul_is_refused(tmp_path):
  path = zipped(tmp_path / 'a.zip', [('good#.exe', b'1'), ('b', b'2')])
  path.write_bytes(path.read_bytes().replace(b'good#', b'good\0'))
  assert [one.reason for one in archives.unpack(path, tmp_path / 'out')] == ['outside'] and sorted(inside(tmp_path / 'out')) == ['b']


def test_the_longest_name_that_is_taken_can_be_written(tmp_path, monkeypatch):
  monkeypatch.setattr('socket.gethostname', lambda: 'h' * 64)
  assert archives.unpack(zipped(tmp_path / 'a.zip', [('x' * 240, b'1')]), tmp_path / 'out') == []
  assert inside(tmp_path / 'out') == {'x' * 240: b'1'}


def test_an_encrypted_member_of_a_zip_is_refused(tmp_path):
  path = zipped(tmp_path / 'a.zip', [('a', b'1'), ('b', b'2')])
  data = bytearray(path.read_bytes())
  data[data.index(b'PK\1\2') + 8] |= 1
  path.write_bytes(data)
  assert [(one.name, one.reason) for one in archives.unpack(path, tmp_path / 'out')] == [('a', 'encrypted')]


def test_a_header_that_would_fill_the_memory_ends_the_tar(tmp_path):
  with tarfile.open(tmp_path / 'a.tar.gz', 'w:gz') as file:
    file.addfile(tarfile.TarInfo('good'))
    one = tarfile.TarInfo('long')
    one.type, one.size = tarfile.GNUTYPE_LONGNAME, 8 * 2**20
    file.addfile(one, io.BytesIO(bytes(one.size)))
  refused = archives.unpack(tmp_path / 'a.tar.gz', tmp_path / 'out')
  assert [one.reason for one in refused] == ['corrupt'] and 'a header of' in refused[0].detail
  assert list(inside(tmp_path / 'out')) == ['good']


def test_a_bomb_of_a_tar_is_stopped_and_names_the_ratio(tmp_path):
  path = tarred(tmp_path / 'a.tar.bz2', [('zeros', bytes(20 * 2**20))], 'w:bz2')
  with pytest.raises(InputError, match='a.tar.bz2: unpacks to more than 200 times its size'):
    archives.unpack(path, tmp_path / 'out')
  assert list((tmp_path / 'out').iterdir()) == []


def test_what_cannot_be_unpacked_is_said_in_one_line(tmp_path):
  (tmp_path / 'a.tar').write_bytes(b'Dear reader, ' * 99)
  bomb = zipped(tmp_path / 'b.zip', [('two\nlines', bytes(2000))])
  for path in (tmp_path / 'a.tar', bomb):
    with pytest.raises(InputError, match='a.tar: nothing in it|b.zip: unpacks to more') as caught:
      archives.unpack(path, tmp_path / 'out', most_bytes=1000)
    assert '\n' not in str(caught.value)


def test_a_fault_of_the_caller_is_not_taken_for_damage(tmp_path):
  with pytest.raises(ValueError, match='mine') as error:
    archives.unpack(zipped(tmp_path / 'a.zip', [('a', b'1')]), tmp_path / 'out', wanted=lambda name: int('mine'))
  assert not isinstance(error.value, InputError)


def test_an_archive_of_which_nothing_can_be_read_and_one_that_is_missing_are_refused(tmp_path):
  path = zipped(tmp_path / 'a.zip', [('a', b'1' * 100)])
  flipped(path, path.read_bytes().index(b'PK\1\2') + 16)         # its checksum
  with pytest.raises(InputError, match='nothing in it can be read'):
    archives.unpack(path, tmp_path / 'out')
  with pytest.raises(InputError, match='no such file'):
    archives.unpack(tmp_path / 'b.zip', tmp_path / 'out')
  (tmp_path / 'file').write_bytes(b'')
  with pytest.raises(InputError, match='cannot be unpacked into'):
    archives.unpack(zipped(tmp_path / 'c.zip', [('a', b'1')]), tmp_path / 'file' / 'out')
