import sys

if sys.version_info < (3, 11):  # noqa: UP036  pip sees to it, but not in a checkout
    words = "emo-ssl: this is Python %d.%d, and 3.11 or newer is needed; take another."
    print(words % sys.version_info[:2], file=sys.stderr)
    raise SystemExit(2)

from emo_ssl.cli import main

if __name__ == "__main__":
    raise SystemExit(main())
