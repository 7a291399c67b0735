"""Serves a voice: the OpenAI Realtime protocol over a websocket, at ws://127.0.0.1:8765/v1/realtime until Ctrl-C.

    python -m telugu_s2s.main --config=configs/serve.py
    python -m telugu_s2s.main --config=configs/serve.py --config.run=runs/stage3
    python -m telugu_s2s.main --config=configs/serve.py --config.run=runs/stage3 --config.host=0.0.0.0 --config.key_variable=MY_KEY

Talk to it with `python -m telugu_s2s.serving.talk`. On a 2-core CPU the toy serves eight sessions at once. Browsers of other
machines lend the page their microphone and speakers over TLS alone: --config.tls_cert=FILE --config.tls_key=FILE.
"""
import ml_collections


def get_config():
  config = ml_collections.ConfigDict()
  config.job = 'serve'
  config.seed = 0                            # of the sessions' draws
  config.run = ''                            # a run of stages 2 to 4, a packed model or a name of a hub; '' = the shipped toy
  config.host = '127.0.0.1'
  config.port = 8765                         # 0 = any that is free
  config.sessions = 4                        # places; who comes when all are taken is told to come again
  config.context_s = 30.0                    # that the model sees back; memory and time go with it
  config.precision = 'float32'               # of the model's parameters; bfloat16, int8
  # How replies are drawn, unless a session asks for something else.
  config.temperature = 0.8                   # 0 = always the likeliest
  config.top_k = 200
  config.silence_bias = 0.0                  # nats off the code of silence
  config.floor = 0.5                         # in full duplex, how likely its turn must be before it speaks; 0 = it speaks as it likes
  config.skip_s = 0.4                        # of silence before a reply's first sound that is left out, at most; not in full duplex
  config.longest_reply_s = 10.0
  config.mark_variable = ''                  # the environment variable with the words of an inaudible mark, see configs/mark.py; '' = none
  # Who is let in.
  config.key_variable = ''                   # the environment variable that holds the key; '' = no key, for this machine alone
  config.origins = ('',)                     # of pages elsewhere that may connect, such as ('https://my.page',)
  config.insecure = False                    # other machines may connect without a key
  config.tls_cert = ''                       # PEM files, for wss
  config.tls_key = ''
  # Limits of a session.
  config.frame_mib = 4.0                     # of a message
  config.events_per_s = 200.0                # a client that sends more is read more slowly; 16 KiB of a message are one more
  config.idle_s = 300.0                      # without a message
  config.longest_session_s = 3600.0
  config.send_s = 5.0                        # that a client may take to read
  config.ping_s = 15.0                       # between signs of life that a client is asked for; 0 = none is
  config.drain_s = 10.0                      # that running replies have at the end
  return config
