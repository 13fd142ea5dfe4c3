"""`python -m runtime.image.server` and `nn serve registry`: serve a registry, or collect its garbage."""

from __future__ import annotations

import argparse
import logging
import sys
from collections.abc import Sequence
from pathlib import Path

from runtime.image.errors import ImageError
from runtime.image.server.collect import GRACE_S

DEFAULT_ROOT = Path("/var/lib/ninetynine/registry")


def main(argv: Sequence[str] | None = None, prog: str = "nn serve registry") -> int:
    """Serve until a signal, or collect garbage; return the exit status."""
    options = _parser(prog).parse_args(argv)
    from runtime.image.server import serve

    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s")
    try:
        if options.collect:
            found = serve.collect_offline(options.root, untagged=options.untagged, grace_s=options.grace)
            print(
                f"removed {found.manifests} manifests, {found.blobs} links to blobs, {found.files} files, "
                f"{found.bytes} bytes"
            )
            return 0
        serve.serve(
            serve.ServeOptions(
                root=options.root,
                listen=options.listen,
                cert=options.tls_cert,
                key=options.tls_key,
                read_only=options.read_only,
                grace_s=options.grace,
                untagged=options.untagged,
            ),
            ready=lambda address: print(f"registry of {options.root} at {address}", flush=True),
        )
    except ImageError as error:
        print(f"{prog}: {error}", file=sys.stderr)
        return 1
    return 0


def _parser(prog: str) -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog=prog,
        description="Serve an image registry (OCI distribution-spec 1.1) from a directory.",
        epilog=f"Example: {prog} --root images --listen 127.0.0.1:5000; nn push 127.0.0.1:5000/app:1. "
        "SIGHUP collects garbage; SIGTERM ends it.",
    )
    parser.add_argument("--root", type=Path, default=DEFAULT_ROOT, help="directory (default: %(default)s)")
    parser.add_argument(
        "--listen",
        default="127.0.0.1:5000",
        help="HOST:PORT; port 0 chooses a free one (default: %(default)s)",
    )
    parser.add_argument("--tls-cert", type=Path, help="certificate chain, PEM; enables TLS")
    parser.add_argument("--tls-key", type=Path, help="its private key, PEM")
    parser.add_argument("--read-only", action="store_true", help="refuse pushes and deletions")
    parser.add_argument("--collect", action="store_true", help="remove what nothing uses, and exit")
    parser.add_argument("--untagged", action="store_true", help="also collect manifests that no tag leads to")
    parser.add_argument(
        "--grace",
        type=float,
        default=GRACE_S,
        help="seconds during which new content is not collected (default: %(default)s)",
    )
    return parser


if __name__ == "__main__":
    sys.exit(main())
