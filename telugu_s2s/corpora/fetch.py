"""The job 'fetch': a source of the catalogue becomes a folder with a manifest, ready for every other job.

Downloads are kept as they came, unpacked beside them, and read by the source's layout. What is there already is kept.
"""
import collections
import hashlib
import json
import shutil
from pathlib import Path
from urllib.parse import unquote, urlsplit

import tqdm

from telugu_s2s.audio import files
from telugu_s2s.corpora import archives, ask, catalogue, commons, download, hub, internet_archive, layouts, librivox, licences
from telugu_s2s.corpora.folder import Skip, counted, reasons, report
from telugu_s2s.errors import InputError

GB = 10**9
UNPACKED = 'unpacked.json'     # which archives were unpacked whole, and what was refused inside each; of which the unpacking began
FETCHED = 'fetched.json'       # from where each file came that nothing else tells apart from another of its name
LISTING = 'listing.json'       # of a service: {revision, items, files, skipped}
PARQUET = 'hub_parquet'        # a kind of source, and the layout of its files
LISTED = 'listed'              # the layout of sources whose service lists each file with its row
ARCHIVE_LIST, COMMONS_LIST, LIBRIVOX = 'archive_allow_list', 'mediawiki_allow_list', 'librivox_scan'
KINDS = (PARQUET, ARCHIVE_LIST, COMMONS_LIST, LIBRIVOX)      # of sources that a service lists
CHECKSUMS = ('sha256', 'sha1', 'md5')
ARCHIVES = ('.zip', '.tar', '.tar.gz', '.tgz', '.tar.bz2', '.tar.xz')
TAKEN = ('', '.', '..', 'downloads', ask.ANSWERS)       # folders that are no archive's


def run(config, workdir) -> dict:
  """The job: `config.source` below `config.out` of workdir, or in `config.folder`, where its owner has put it.

  Returns:
    {rows, skipped: {reason: count}, folder}.

  Raises:
    InputError: the source is not to be had or not to be used, and what to do instead; a download or archive fails.
  """
  one = catalogue.source(catalogue.sources(), config.source)
  layout = config.layout or one.get('fetch', {}).get('layout', '')
  _refuse(one, layout)
  skips = []
  if config.folder:
    folder = Path(config.folder)
    if not folder.is_dir():                      # else the manifest would make it
      raise InputError(f'config.folder: {folder} is no folder; give the one in which the corpus was unpacked')
  else:
    folder = Path(workdir) / config.out / one['id']
    skips += _brought(one, folder, config)
  return manifest(one, layout, folder, skips)


def manifest(one, layout, folder, skips=()) -> dict:
  """Writes MANIFEST.jsonl and skipped.tsv into the folder of an unpacked source; see `run` for what comes back."""
  skips, count = list(skips), 0
  path = Path(folder) / 'MANIFEST.jsonl'
  revision = one['fetch'].get('revision') or _known(path.with_name(LISTING)).get('revision', '')
  try:
    with files.written(path) as file:
      for row in tqdm.tqdm(_rows(one, layout, folder), one['id'], unit='row', delay=2):
        if isinstance(row, Skip):
          skips.append(row)
          continue
        file.write((json.dumps(labelled(one, row, revision), ensure_ascii=False) + '\n').encode('utf-8', 'replace'))
        count += 1
      skipped = reasons(skips)
      if not count:
        raise InputError(f'{folder}: no row of {one["id"]} could be read as {layout}; {counted(skipped) or "it is empty"}')
  except OSError as problem:
    raise InputError(f'config.folder: {problem.filename or folder}: {problem.strerror}; the manifest is written there') from problem
  report(path.with_name('skipped.tsv'), skips, ('path', 'reason', 'detail'))
  print(f'{one["id"]}: {count} rows in {path}; left out: {counted(skipped) or "nothing"}\n'
        f'Next: --config=configs/prepare.py --config.data.audio={folder}', flush=True)
  return {'rows': count, 'skipped': skipped, 'folder': str(folder)}


def _rows(one, layout, folder):
  """The rows and skips of a source that lies in `folder`."""
  if layout == PARQUET:
    return hub.rows(folder, one['fetch'], [file['name'] for file in _known(Path(folder) / LISTING).get('files', [])])
  if layout == LISTED:
    return _listed(Path(folder))
  return layouts.rows(layout, folder)


def _listed(folder):
  """The rows that a service gave with its files, of those files that came."""
  for file in _known(folder / LISTING).get('files', []):
    if (folder / 'downloads' / file['name']).is_file():
      yield file['row'] | {'path': f'downloads/{file["name"]}'}


def labelled(one, row: dict, revision: str = '') -> dict:
  """A layout's row with what the catalogue knows: source, licence, attribution, and speakers named by source."""
  known = {'source': one['id'], 'revision': revision, 'language': 'te', 'attribution': one['attribution']}
  if 'licence' not in row:           # where a layout has it, empty means that the row's own is unknown
    known['licence'] = one['licence']['spdx']
    if 'doubt' in one['licence']:    # class D: such rows are for research only
      known |= {'licence': licences.DOUBTFUL, 'licence_claimed': one['licence']['spdx']}
  row = known | {name: value for name, value in row.items() if value not in ('', None) or name == 'licence'}
  if row.get('speaker'):
    home = one.get('within', one['id'])
    row['speaker'] = f'{home}:{row["speaker"]}'              # ids are unique within a source only, and that within another has its speakers
    row |= {'speaker_source': home} if home != one['id'] else {}
  return {name: value for name, value in row.items() if value != '' or name == 'licence'}


def _refuse(one, layout):
  if not one['use']:
    raise InputError(f'config.source: {one["id"]} is not used: {one["why_not"]}; instead: {one["substitute"]}')
  if not layout:
    raise InputError(f'config.source: {one["id"]} ({one["fetch"]["kind"]}) has no reader here yet; unpack it yourself and give '
                     f'config.folder with config.layout, one of {", ".join(layouts.LAYOUTS)}, or a manifest of your own')
  if layout == PARQUET and 'columns' not in one['fetch']:
    raise InputError(f'config.layout: {one["id"]} has no columns in the catalogue, which {PARQUET} needs; add them there, '
                     'or write a manifest of your own')


def _brought(one, folder, config) -> list[Skip]:
  """Downloads the files of a source and unpacks its archives. Returns what was refused, of a list or inside an archive."""
  about, most_bytes = one['fetch'], int(config.most_gb * GB)
  key = download.token(about['token'], f'accept the terms at {about["terms"]}') if about.get('token') else ''
  listed, skips = _files(one, folder, config, key)
  if (total := sum(file.get('bytes') or 0 for file in listed)) > most_bytes:
    raise InputError(f'config.most_gb: the {len(listed)} files of {one["id"]} have {total / GB:.1f} GB, more than {config.most_gb:g}; '
                     'raise it if that is what you want' + (', or name a part of them in config.allow' if about['kind'] in KINDS else ''))
  unpacked, names, left = _known(folder / UNPACKED), collections.Counter(map(_called, listed)), most_bytes
  if twice := [name for name, count in names.items() if count > 1]:
    raise InputError(f'config.urls: {names[twice[0]]} of the addresses end in {twice[0]}; fetch them into folders of their own, one after another')
  places = collections.Counter(place for name in names if (place := _place(name)) is not None)       # which is emptied before it is filled anew
  if shared := [name for name in names if places[_place(name)] > 1 or _place(name) in TAKEN]:
    raise InputError(f'config.urls: {", ".join(shared)} would be unpacked into {_place(shared[0])!r}, where other files are; unpack it yourself and give config.folder')
  for file in listed:
    name, checksum = _called(file), next((file[kind] for kind in CHECKSUMS if file.get(kind)), '')
    version = f'{name} {checksum or file["url"]}'    # renewed, it is another one
    if version in unpacked:
      skips += [Skip(f'{name}:{inside}', reason, detail) for inside, reason, detail in unpacked[version]]
      continue
    if not checksum and 'row' not in file:
      _renewed(folder, name, file['url'])
    try:
      got = download.download(file['url'], folder / 'downloads' / name, size=file.get('bytes'), token=key, contact=config.contact,
                              cap_bytes=left, **{kind: file[kind] for kind in CHECKSUMS if file.get(kind)})
      left -= Path(got).stat().st_size
    except download.Unfit as problem:
      if 'row' not in file:        # a part of a whole
        raise
      (folder / 'downloads' / name).unlink(missing_ok=True)
      skips.append(Skip(name, 'not fetched', str(problem)))
      continue
    if _place(name) is not None:
      place, begun = folder / _place(name), f'begun {name}'
      if begun in unpacked:                            # another version, or half of this one: what is withdrawn must not stay
        shutil.rmtree(place, ignore_errors=True)
      unpacked[begun] = []
      files.write(folder / UNPACKED, json.dumps(unpacked).encode())
      refused = archives.unpack(got, place, most_bytes=most_bytes, wanted=_wanted(about))
      skips += [Skip(f'{name}:{item.name}', item.reason, item.detail) for item in refused]
      if all(item.name for item in refused):       # an archive that is itself damaged may be whole the next time
        unpacked[version] = [[item.name, item.reason, item.detail] for item in refused]
        files.write(folder / UNPACKED, json.dumps(unpacked).encode())
  return skips


def _renewed(folder, name, url):
  """Removes a file that came from another address."""
  known = _known(folder / FETCHED)
  if known.get(name, url) != url:
    (folder / 'downloads' / name).unlink(missing_ok=True)
  files.write(folder / FETCHED, json.dumps(known | {name: url}).encode())


def _called(file) -> str:
  return file.get('name') or _name(file['url'])


def _place(name):
  """The folder that an archive is unpacked into, None of what is no archive."""
  ending = next((ending for ending in ARCHIVES if name.endswith(ending)), '')
  return name.removesuffix(ending) if ending else None


def _wanted(about):
  """Which members of an archive to unpack: those below a folder called `only`, or all."""
  only = about.get('only', '').lower()
  return lambda name: not only or only in name.lower().split('/')[:-1]


def _files(one, folder, config, key) -> tuple[list[dict], list[Skip]]:
  """What to download, as {url, name, bytes, a checksum, row}, and what the service's list held that is not taken.

  `config.urls` take the place of the addresses that the catalogue has.
  """
  about = one['fetch']
  listed = about.get('files', [])
  if config.urls:
    known = {file.get('name') or _name(file['url']): file for file in listed}       # a mirror's file has the same checksum
    return [{**known.get(_name(url), {}), 'url': url} for url in config.urls], []
  if about['kind'] in KINDS:
    found = _known(folder / LISTING)     # the list stays what it was when the folder was begun
    if not found:
      found = _listing(one, ask.Service(folder, key, config.contact), config)
      files.write(folder / LISTING, json.dumps(found, ensure_ascii=False).encode('utf-8', 'replace'))
      ask.Service(folder).forget()
    if found['items'] != list(config.allow):
      raise InputError(f'config.allow: {folder / LISTING} was made for {found["items"] or "all"}; take another config.out, or '
                       'delete that file: what was downloaded is kept')
    return found['files'], [Skip(*skip) for skip in found['skipped']]
  if not listed or not all('url' in file for file in listed):
    place = about.get('terms') or about.get('page', '')
    raise InputError(f'config.source: {one["id"]} has no address that a program may take ({one["access"]}): get it from {place}, '
                     'unpack it and give config.folder, or give the addresses you were given as config.urls')
  return listed, []


def _listing(one, service, config):
  """What a service lists of a source, and the revision: the service's own, or a hash of the list."""
  about, at, skips, revision = one['fetch'], config.services, [], ''
  archive = at.archive or internet_archive.ARCHIVE
  if about['kind'] == PARQUET:
    revision, found = hub.listing(service, about, config.allow, at.hub or hub.HUB)
  elif about['kind'] == ARCHIVE_LIST:
    found, skips = internet_archive.listing(service, about, config.allow, archive)
  elif about['kind'] == COMMONS_LIST:
    if not config.contact:
      raise InputError('config.contact: Wikimedia asks for a mail or web address of whoever runs a program; give yours')
    found, skips = commons.listing(service, about, config.allow, at.commons or commons.COMMONS)
  else:
    found, skips = librivox.listing(service, one['licence']['spdx'], at.librivox or librivox.BOOKS, archive)
  if not found:
    raise InputError(f'config.source: {one["id"]}: nothing to be had; left out: '
                     f'{"; ".join(f"{skip.path}: {skip.reason} ({skip.detail})" for skip in skips[:5]) or "nothing"}')
  revision = revision or hashlib.sha256(json.dumps(found, sort_keys=True).encode()).hexdigest()[:16]
  return {'revision': revision, 'items': list(config.allow), 'files': found,
          'skipped': [[skip.path, skip.reason, skip.detail] for skip in skips]}


def _name(url):
  return Path(unquote(urlsplit(url).path)).name


def _known(path):
  """The dictionary in a JSON file of our own, {} where there is none."""
  try:
    value = json.loads(path.read_bytes())
  except (OSError, ValueError):
    return {}
  return value if isinstance(value, dict) else {}
