"""The job 'fetch': a source of the catalogue becomes a folder with a manifest, ready for every other job.

Downloads are kept as they came, unpacked beside them, and read by the source's layout. What is there already is kept.
"""
import json
from pathlib import Path
from urllib.parse import unquote, urlsplit

import tqdm

from telugu_s2s.audio import files
from telugu_s2s.corpora import archives, catalogue, download, hub, layouts
from telugu_s2s.corpora.folder import Skip, counted, reasons, report
from telugu_s2s.errors import InputError

GB = 10**9
UNPACKED = 'unpacked.json'     # which archives were unpacked whole, and what was refused inside each
LISTING = 'listing.json'       # of a hub: [revision, files]
PARQUET = 'hub_parquet'
DOUBTFUL = 'LicenseRef-doubtful'
ARCHIVES = ('.zip', '.tar', '.tar.gz', '.tgz', '.tar.bz2', '.tar.xz')


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
  else:
    folder = Path(workdir) / config.out / one['id']
    skips += _brought(one, folder, tuple(config.urls), config.hub, int(config.most_gb * GB))
  return manifest(one, layout, folder, skips)


def manifest(one, layout, folder, skips=()) -> dict:
  """Writes MANIFEST.jsonl and skipped.tsv into the folder of an unpacked source; see `run` for what comes back."""
  skips, count = list(skips), 0
  path = Path(folder) / 'MANIFEST.jsonl'
  about = one['fetch']
  revision = about.get('revision') or (_known(path.with_name(LISTING)) or [''])[0]
  found = (hub.rows(folder, about['columns'], about.get('keep', {})) if layout == PARQUET else layouts.rows(layout, folder))
  try:
    with files.written(path) as file:
      for row in tqdm.tqdm(found, one['id'], unit='row', delay=2):
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


def labelled(one, row: dict, revision: str = '') -> dict:
  """A layout's row with what the catalogue knows: source, licence, attribution, and speakers named by source."""
  known = {'source': one['id'], 'revision': revision, 'language': 'te', 'attribution': one['attribution']}
  if 'licence' not in row:           # where a layout has it, empty means that the row's own is unknown
    known['licence'] = one['licence']['spdx']
    if 'doubt' in one['licence']:    # a name of our own, which is class D: such rows are for research only
      known |= {'licence': DOUBTFUL, 'licence_claimed': one['licence']['spdx']}
  row = known | {name: value for name, value in row.items() if value not in ('', None) or name == 'licence'}
  if row.get('speaker'):
    row['speaker'] = f'{one["id"]}:{row["speaker"]}'         # ids are unique within a source only
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


def _brought(one, folder, urls, address, most_bytes) -> list[Skip]:
  """Downloads the files of a source and unpacks its archives. Returns what was refused inside them."""
  about = one['fetch']
  key = download.token(about['token'], f'accept the terms at {about["terms"]}') if about.get('token') else ''
  unpacked, skips = _known(folder / UNPACKED), []
  for file in _files(one, folder, urls, address, key):
    name = file.get('name') or _name(file['url'])
    ending = next((ending for ending in ARCHIVES if name.endswith(ending)), '')
    if name in unpacked:
      skips += [Skip(f'{name}:{inside}', reason, detail) for inside, reason, detail in unpacked[name]]
      continue
    got = download.download(file['url'], folder / 'downloads' / name, size=file.get('bytes'), sha256=file.get('sha256', ''),
                            token=key, cap_bytes=most_bytes)
    if ending:
      refused = archives.unpack(got, folder / name.removesuffix(ending), most_bytes=most_bytes)
      skips += [Skip(f'{name}:{item.name}', item.reason, item.detail) for item in refused]
      if all(item.name for item in refused):       # an archive that is itself damaged may be whole the next time
        unpacked[name] = [[item.name, item.reason, item.detail] for item in refused]
        files.write(folder / UNPACKED, json.dumps(unpacked).encode())
  return skips


def _files(one, folder, urls, address, key) -> list[dict]:
  """What to download, as {url, name, bytes, sha256}; `urls` take the place of the addresses that the catalogue has."""
  about = one['fetch']
  listed = about.get('files', [])
  if urls:
    known = {file.get('name') or _name(file['url']): file for file in listed}       # a mirror's file has the same checksum
    return [{**known.get(_name(url), {}), 'url': url} for url in urls]
  if about['kind'] == PARQUET:
    note = folder / LISTING              # the revision stays what it was when the folder was begun
    if not note.is_file():
      files.write(note, json.dumps(hub.listing(lambda url: _answer(url, folder, key), about, address or hub.HUB)).encode())
    return json.loads(note.read_bytes())[1]
  if not listed or not all('url' in file for file in listed):
    place = about.get('terms') or about.get('page', '')
    raise InputError(f'config.source: {one["id"]} has no address that a program may take ({one["access"]}): get it from {place}, '
                     'unpack it and give config.folder, or give the addresses you were given as config.urls')
  return listed


def _answer(url, folder, key) -> bytes:
  path = folder / 'downloads' / 'answer.json'
  path.unlink(missing_ok=True)
  return download.download(url, path, token=key, cap_bytes=100 * 2**20).read_bytes()


def _name(url):
  return Path(unquote(urlsplit(url).path)).name


def _known(path):
  try:
    return json.loads(path.read_bytes())
  except (OSError, ValueError):
    return {}
