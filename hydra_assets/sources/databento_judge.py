"""The judgement of an answer of Databento, after its bytes are kept: whole, and to the request."""

from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

from databento_dbn import DBNError

from hydra_assets.errors import ShortAnswerError, VendorContentError
from hydra_assets.sources.databento_errors import mapped_errors
from hydra_assets.sources.databento_records import chunks_of
from hydra_assets.sources.databento_request import Request, decoded

if TYPE_CHECKING:
    from databento.common.dbnstore import DBNStore


COUNT_TOLERANCE = 0.001


def judge(path: Path, request: Request, announced: int, messages: list[str], *, before: Iterable[Path] = (), proven: bool = False) -> None:
    """
    Raise unless the answer in *path* is whole: truncated DBN reads as fewer rows without an error.

    Counts are estimates of the vendor's: a share of `COUNT_TOLERANCE` less, or any number more, is whole. Where two answers bring the
    same number of records, fewer than announced, they are accepted: a third would be paid for in vain. A root that is not listed in the
    range is a gap of that root.

    Args:
        announced: the records counted by the vendor.
        messages: the warnings that came with the answer; notes are added.
        before: kept answers to the same request that were not whole.
        proven: the file has the hash that the vendor named, so that fewer records than announced are a note.

    Raises:
        ShortAnswerError: records are missing.
        VendorContentError: not DBN, of another schema, or none of the symbols is known.
    """
    cut = [text for text in messages if "truncat" in text.lower()]
    if cut:
        raise VendorContentError(f"{request}: {cut[0]}")
    try:
        store = decoded(path)
        _of_the_request(store, request, messages)
        with mapped_errors(str(request)) as while_reading:
            records = _count(store, request.schema) if announced else 0
        broken = any("truncat" in text.lower() for text in while_reading)
        if records >= announced * (1 - COUNT_TOLERANCE) and not broken:
            return
        if proven:
            messages.append(f"{request}: {records:,} records in a file with the vendor's hash, {announced:,} were announced; accepted")
        elif records in {_count(decoded(each), request.schema) for each in before if each.exists()}:
            messages.append(f"{request}: {records:,} records came in two answers, {announced:,} were announced; accepted")
        else:
            raise ShortAnswerError(
                f"{request}: {records:,} records came, {announced:,} were announced; the bytes are kept, a second answer alike is accepted",
                records=records,
            )
    except DBNError as error:
        raise VendorContentError(f"{request}: not DBN: {error}") from None


def _of_the_request(store: "DBNStore", request: Request, messages: list[str]) -> None:
    """Raise where the answer is to another request; note the symbols that are not listed in all of its range."""
    metadata = store.metadata
    if metadata.schema is None or str(metadata.schema) != request.schema:
        raise VendorContentError(f"{request}: the answer is of schema {metadata.schema}")
    if metadata.not_found and set(metadata.not_found) >= set(request.symbols.split(",")):
        raise VendorContentError(f"{request}: symbols not resolved: {', '.join(metadata.not_found)}")
    messages += [f"{symbol} is not listed in the whole of {request}" for symbol in (*metadata.not_found, *metadata.partial)]


def _count(store: "DBNStore", schema: str) -> int:
    return sum(len(records) for records in chunks_of(store, schema))
