"""Which licences may stand side by side in one dialogue, and which then holds."""
import pytest

from telugu_s2s.corpora import licences


@pytest.mark.parametrize('first, second, together', [
    ('CC0-1.0', 'CC0-1.0', 'CC0-1.0'), ('CC0-1.0', 'CC-BY-4.0', 'CC-BY-4.0'), ('LicenseRef-own', 'CC-BY-SA-4.0', 'CC-BY-SA-4.0'),
    ('CC-BY-4.0', 'CC-BY-SA-4.0', 'CC-BY-SA-4.0'), ('CC-BY-SA-4.0', 'cc-by-sa-4.0', 'CC-BY-SA-4.0'),
    ('CC-BY-SA-3.0', 'CC-BY-SA-4.0', None),                        # each asks for itself
    ('CC-BY-4.0', 'CC-BY-NC-4.0', 'CC-BY-NC-4.0'), ('CC-BY-SA-4.0', 'CC-BY-NC-4.0', None), ('CC-BY-NC-4.0', 'CC-BY-NC-SA-4.0', None),
    ('CC0-1.0', 'CC-BY-ND-4.0', None), ('CC0-1.0', 'CC-BY-NC-ND-4.0', None), ('CC0-1.0', '', None), ('', 'CC-BY-NC-4.0', None), ('', '', ''),
    ('CC0-1.0', 'all rights reserved', None), ('CC0-1.0', 'LicenseRef-paid', None), ('LicenseRef-paid', 'LicenseRef-paid', 'LicenseRef-paid')])
def test_the_stricter_licence_holds_for_both_or_they_stay_apart(first, second, together):
  for one, other in ((first, second), (second, first)):
    found = licences.combined(one, other)
    assert (found is None) == (together is None) and (found or '').upper() == (together or '').upper()
    if found is not None:
      assert licences.licence_class(found) == max(map(licences.licence_class, (one, other)))
