"""Object stores: copy finished files to any URL that fsspec knows."""

from __future__ import annotations

import logging

from flyem_snapshot.engine.outdir import OutputDir
from flyem_snapshot.errors import ServiceError, SnapshotError

logger = logging.getLogger(__name__)


def upload(out: OutputDir, prefix: str, bucket_dir: str, tag: str, *, project: str | None = None) -> None:
    """Copy every finished file below `prefix` to `<bucket_dir>/<tag>/<file>`.

    `bucket_dir` is a URL (`gs://`, `s3://`, `file://`, `memory://`); without a scheme it is a Google Cloud bucket.
    Raises SnapshotError as `require_store` does, ServiceError if the store refuses.
    """
    scheme = require_store(bucket_dir)
    from fsspec.core import url_to_fs

    options = {"project": project} if project and scheme in ("gs", "gcs") else {}
    try:
        store, root = url_to_fs(_url(bucket_dir), **options)
    except Exception as error:  # drivers raise what their HTTP and sign-in libraries do
        raise ServiceError("PUT", _url(bucket_dir), str(error), hint=_UPLOAD_HINT) from error
    for relative in sorted(name for name in out.written if name.startswith(prefix)):
        target = f"{root.rstrip('/')}/{tag}/{relative.removeprefix(prefix)}"
        try:
            store.makedirs(target.rsplit("/", 1)[0], exist_ok=True)
            store.put_file(str(out.path(relative)), target)
            size = store.size(target)
        except Exception as error:  # as above
            raise ServiceError("PUT", f"{scheme}://{target}", str(error), hint=_UPLOAD_HINT) from error
        if size != out.written[relative].size:
            problem = f"{size} bytes arrived of {out.written[relative].size}"
            raise ServiceError("PUT", f"{scheme}://{target}", problem, hint=_UPLOAD_HINT)
        logger.info("uploaded %s", f"{scheme}://{target}")


def require_store(bucket_dir: str) -> str:
    """The scheme of a bucket's URL; SnapshotError if it is unknown or its library is not installed."""
    scheme = _url(bucket_dir).split("://", 1)[0]
    try:
        from fsspec import get_filesystem_class

        get_filesystem_class(scheme)
    except ImportError as error:
        raise SnapshotError(
            f"uploading to {scheme}:// needs a library that is not installed: {error}",
            hint="install flyem-snapshot[gcs] for gs://, flyem-snapshot[s3] for s3://, else flyem-snapshot[objects]",
        ) from error
    except ValueError as error:
        raise SnapshotError(
            f"nothing is known of a store {scheme}://", hint="write a bucket, or a URL such as gs://, s3:// or file://"
        ) from error
    return scheme


def _url(bucket_dir: str) -> str:
    return bucket_dir if "://" in bucket_dir else f"gs://{bucket_dir}"


_UPLOAD_HINT = "check the bucket's name and your permissions, then run again"
