"""Serves a desk over HTTP until it is interrupted."""

from __future__ import annotations

from typing import TYPE_CHECKING

from cleanplate.errors import ConfigError, StorageError

if TYPE_CHECKING:
    from cleanplate.rollout.ab_desk import AbDesk
    from cleanplate.rollout.desk import Desk
    from cleanplate.rollout.review_app import Access


def checked_access(host: str, token: str | None) -> Access:
    """Who may use the page.

    Raises:
        ConfigError: FastAPI is missing, or others could listen without a token.
    """
    try:
        from cleanplate.rollout.review_app import Access
    except ImportError as error:
        raise ConfigError(f"the review page needs {error.name}: pip install 'cleanplate[review]'") from error
    return Access.checked(host, token)


def address_of(access: Access, port: int) -> str:
    """What a browser opens."""
    host = f"[{access.host}]" if ":" in access.host else access.host
    return f"http://{host}:{port}/{f'?token={access.token}' if access.token else ''}"


def serve(desk: Desk | AbDesk, access: Access, port: int) -> None:
    """Listens until Ctrl-C.

    Args:
        desk: of a review, or of an A/B comparison.
        access: who may use it.
        port: where.

    Raises:
        StorageError: the port is taken.
    """
    import uvicorn

    from cleanplate.rollout.review_app import make_app

    settings = uvicorn.Config(make_app(desk, access), host=access.host, port=port, log_level="warning",
                              access_log=False, server_header=False)  # fmt: skip
    try:
        uvicorn.Server(settings).run()
    except SystemExit as error:
        if error.code:
            raise StorageError(f"cannot listen on {access.host}:{port}: another program does; take --port") from error
    except KeyboardInterrupt:  # uvicorn has ended in order, then passes the signal on
        pass
    finally:
        desk.close()
