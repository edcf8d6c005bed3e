"""A short look at the CFTC's address: its status and first bytes, without the download and without a row."""

from dataclasses import dataclass

from hydra_assets.errors import VendorUnavailableError
from hydra_assets.lazy import lazy
from hydra_assets.sources.cftc_child import MAX_REDIRECTS, Refusal, allowed_redirect

requests = lazy("requests")


_FIRST_BYTES = 512


@dataclass(frozen=True)
class Reached:
    """
    The beginning of an answer.

    Attributes:
        url: address after redirects.
        status: HTTP status.
        head: first bytes of the body; those of a zip archive are ``PK``.
        last_modified: the header of that name.
    """

    url: str
    status: int
    head: bytes
    last_modified: str | None

    @property
    def is_archive(self) -> bool:
        """Whether a zip archive begins here."""
        return self.status == 200 and self.head.startswith(b"PK")


def reach_archive(base_url: str, year: int, *, user_agent: str, connect_timeout_s: float, read_timeout_s: float) -> Reached:
    """
    The beginning of the archive of *year*; redirects stay with the vendor's own host.

    Raises:
        VendorUnavailableError: no answer, or a redirect to another host.
    """
    url, headers = f"{base_url.rstrip('/')}/files/dea/history/fut_disagg_txt_{year}.zip", {"User-Agent": user_agent}
    try:
        for _ in range(MAX_REDIRECTS + 1):
            timeout = (connect_timeout_s, read_timeout_s)
            with requests.get(url, headers=headers, stream=True, allow_redirects=False, timeout=timeout) as answer:
                if answer.is_redirect:
                    url = allowed_redirect(url, answer.headers["Location"])
                    continue
                head = next(answer.iter_content(_FIRST_BYTES), b"")
                return Reached(url, answer.status_code, bytes(head), answer.headers.get("Last-Modified"))
    except requests.RequestException as error:
        raise VendorUnavailableError(f"{url}: {type(error).__name__}, no answer") from None
    except Refusal as error:
        raise VendorUnavailableError(str(error)) from None
    raise VendorUnavailableError(f"{url}: more than {MAX_REDIRECTS} redirects")
