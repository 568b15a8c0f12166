"""
Quantities as Kubernetes writes them: `250m`, `64Mi`, `1.5`, `2G`.

https://kubernetes.io/docs/reference/kubernetes-api/common-definitions/quantity/ has exponents and signs as well; nobody
writes an amount of memory with them, and they are refused here.
"""

import re
from decimal import Decimal

_SCALES = {
    **{suffix: Decimal(10) ** power for suffix, power in zip(("m", "", "k", "M", "G", "T"), (-3, 0, 3, 6, 9, 12), strict=True)},
    **{suffix: Decimal(1024) ** power for power, suffix in enumerate(("Ki", "Mi", "Gi", "Ti"), start=1)},
}  # fmt: skip
_QUANTITY = re.compile(r"([0-9]{1,12}(?:\.[0-9]{1,6})?)(m|[kMGT]|[KMGT]i)?", re.ASCII)


def amount(text: str) -> Decimal:
    """In cores, or in bytes. Raises ValueError for what is none, or is not above zero."""
    found = _QUANTITY.fullmatch(text)
    if found is None:
        raise ValueError("not a quantity")
    number = Decimal(found[1]) * _SCALES[found[2] or ""]
    if number <= 0:
        raise ValueError("not above zero")
    return number
