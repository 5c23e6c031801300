"""``heatstream fetch``: weights that others give away, made a model file."""

from __future__ import annotations

from typing import Annotated

import typer

from heatstream import catalog

__all__ = ["fetch"]


def fetch(
    name: Annotated[str, typer.Argument(metavar="NAME", help="A network that `heatstream models` lists with `fetch`.")],
) -> None:
    """Get the weights of NAME from their authors, and make a model file of them.

    Says what comes from where and under which licence. A broken download is
    gone on with by the same command; a file that is not the published one is
    not kept. The model file lies in the user's cache, and NAME is then a model
    like any other. Needs the extra `train`.

    Proxies are taken from HTTPS_PROXY, HTTP_PROXY and NO_PROXY.

    Examples:

        heatstream fetch higherhrnet-w32

        heatstream run 0 --model higherhrnet-w32
    """
    from heatstream.demo.fetching import fetch_weights

    print(fetch_weights(catalog.get(name)))
