"""Every formula of a derivation, evaluated as it stands at 50 digits."""

from symcell.derivation.check.case import Case
from symcell.derivation.check.certificate import Certificate, Checked, certified
from symcell.derivation.check.section import with_certificate

__all__ = ["Case", "Certificate", "Checked", "certified", "with_certificate"]
