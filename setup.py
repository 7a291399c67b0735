"""Installs telugu_s2s: `pip install -e .[cuda] -c constraints.txt`.

The base is what the main job and generation import. An extra adds what one room or one use needs on top; an extra
that is empty keeps its name so that a command written today still works when its room grows a dependency.

Ranges stand here, exact versions in constraints.txt. After a change here, renew it (it keeps the pins that still fit):

    python -m pip install uv
    uv pip compile setup.py --all-extras --universal --python-version 3.11 --fork-strategy fewest \\
        --no-header --no-annotate -o constraints.txt
"""
import pathlib
import re

import setuptools

HERE = pathlib.Path(__file__).parent
VERSION = re.search(r"^__version__ = '(.+)'$", (HERE / 'telugu_s2s/__init__.py').read_text(), re.M)[1]

# These change names between minor releases: each is held to the one that the code was written against.
BASE = [
    'jax>=0.10.2,<0.11',
    'flax>=0.12.8,<0.13',
    'optax>=0.2.8,<0.3',
    'orbax-checkpoint>=0.12.8,<0.13',
    'grain>=0.2.18,<0.3',
    'array_record>=0.8.6,<0.9',
    'ml_collections>=1.1.0,<2',
    'clu>=0.0.12',
    'absl-py>=2.5',
    'numpy>=2.0',
    'safetensors>=0.8',
    'sentencepiece>=0.2.1',   # the text slot's vocabulary
    'flatbuffers>=25.12',     # how jax.export writes programs
    'soundfile>=0.14',
    'soxr>=1.1',
    'tqdm>=4.70',
    'matplotlib>=3.11',
    'tensorboardX>=2.6.5',    # writes TensorBoard events without TensorFlow
]

EXTRAS = {
    # Hardware. CUDA 12 runs on every driver from 525 on.
    'cuda': ['jax[cuda12]>=0.10.2,<0.11'],
    'tpu': ['jax[tpu]>=0.10.2,<0.11'],
    # Rooms.
    'corpora': ['pyarrow>=26'],                  # data sets that a hub keeps as parquet
    # AAC, MP4 and WebM (36 MB with FFmpeg inside), and DNSMOS (37 MB). For Silero VAD (11 MB) comes after it, as it would
    # bring torch and nothing here uses that: pip install --no-deps silero-vad==6.2.3. launch/environment does so.
    'preparation': ['av>=18.1', 'onnxruntime>=1.20', 'speechmos>=0.0.1.1'],
    'codec': [],
    'evaluation': ['pystoi>=0.4.1', 'pyworld-prebuilt>=0.3.6'],      # pyworld itself has no wheels for Linux
    'pesq': ['pesq>=0.0.4'],                     # ITU-T P.862; has no wheels, so it needs a C compiler
    # Measures that are networks, 1 GB with torch. Three more packages name requirements that pip cannot meet or that
    # nothing uses (webrtcvad, torchaudio), and come after it: pip install --no-deps resemblyzer==0.1.4
    # distillmos==0.9.1 xls-r-sqa==0.1.0. On Linux torch comes with CUDA unless --extra-index-url names the index of
    # its CPU builds. libsvm-official, which visqol-python asks for, is built from source, like pesq.
    'perceptual': ['visqol-python[lattice]>=3.8', 'speechmos>=0.0.1.1', 'onnxruntime>=1.20', 'librosa>=0.11',
                   'webrtcvad-wheels>=2.0.14', 'torch>=2.9'],
    'teacher': ['onnx>=1.19', 'onnxruntime>=1.20'],          # then: pip install --no-deps pipecat-ai==1.14.0, whose model it is
    'hub': ['huggingface-hub>=2.4'],              # packed models by name: telugu_s2s/serving/packaging.py
    'sample': ['espeakng-loader>=0.2.4'],        # only to remake the sample corpus
    'serving': ['aiohttp>=3.13.4', 'av>=18.1'],  # before 3.13.4 trailers had no limit (CVE-2026-22815); av for Opus
    'talk': ['aiohttp>=3.13.4', 'sounddevice>=0.5'],         # microphone and speakers; wav files go without the second
    # Uses.
    'cluster': ['ray>=2.50'],                    # preparation on many machines: configs/prepare.py:cluster
    # What is measured beside ours: other codecs and LMs, and Lhotse, which imports urllib3 without asking for it.
    'peers': ['transformers>=5.20,<5.24', 'torch>=2.9', 'lhotse>=1.33', 'urllib3>=2'],
    'tensorboard': ['tensorboard>=2.21'],        # the viewer
    # Corpora as its data sets, corpora/tfds_builder.py; no TensorFlow. The second it imports without asking for it.
    'tfds': ['tensorflow-datasets>=4.9.10,<5', 'importlib_resources>=7'],
    'browser': ['playwright>=1.59', 'aiohttp>=3.13.4'],       # the tests of the page; the browser is the system's Chromium
    'test': ['pytest>=9.2', 'pytest-xdist>=3.8', 'hypothesis>=6.170', 'nbclient>=0.11', 'ipykernel>=7.4'],
}

setuptools.setup(
    name='telugu_s2s',
    version=VERSION,
    description='Telugu speech to speech: a codec, an audio language model and a conversation, in JAX',
    long_description=(HERE / 'README.md').read_text(encoding='utf-8') if (HERE / 'README.md').exists() else '',
    long_description_content_type='text/markdown',
    license='Apache-2.0',
    license_files=['LICENSE'],
    python_requires='>=3.11,<3.14',
    packages=setuptools.find_packages(include=['telugu_s2s', 'telugu_s2s.*']),
    package_data={
        'telugu_s2s': ['**/*.md', '**/*.tsv', '**/*.toml', '**/*.safetensors', '**/*.json', 'corpora/sample/**',
                       'serving/page/*', 'serving/toy/*'],
    },
    install_requires=BASE,
    extras_require=EXTRAS,
)
