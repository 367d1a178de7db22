"""Thresholds of a law as functions of counts, for lessons. Nothing here is legal advice."""

import enum

from fedlab.checks import check_count, check_flag

SOURCE = (
    "Provisions on Promoting and Regulating Cross-Border Data Flows (Cyberspace Administration of "
    "China, Order No. 16, in force since 22 March 2024), Articles 5, 7 and 8; read on 2026-11-25"
)
# Numbers of people since 1 January of the year. "以上" includes the number itself.
FEWEST_FOR_A_CONTRACT = 100_000
FEWEST_FOR_AN_ASSESSMENT = 1_000_000
FEWEST_SENSITIVE_FOR_AN_ASSESSMENT = 10_000


class ExportRoute(enum.StrEnum):
    """What an export of personal information from China needs under the provisions of 2024.

    Attributes:
        EXEMPT: None of the three procedures of PIPL Article 38 (Article 5 of the provisions).
        CONTRACT_OR_CERTIFICATION: The standard contract, or a certification (Article 8).
        SECURITY_ASSESSMENT: A security assessment by the authority (Article 7).
    """

    EXEMPT = "exempt"
    CONTRACT_OR_CERTIFICATION = "standard contract or certification"
    SECURITY_ASSESSMENT = "security assessment"


def export_route(
    num_people: int,
    num_sensitive: int,
    *,
    is_critical_operator: bool = False,
    has_important_data: bool = False,
) -> ExportRoute:
    """Returns the procedure that the counts of people lead to under China's provisions of 2024.

    The source is the Provisions on Promoting and Regulating Cross-Border Data Flows (促进和规范数据跨境流动规定,
    Cyberspace Administration of China, Order No. 16, in force since 22 March 2024), read on 2026-11-25
    in a secondary text that quotes the authority's page:

    - Article 7: a security assessment for an operator of critical information infrastructure that
      exports any personal information, for important data, from 1,000,000 people on, and from 10,000
      people on with sensitive personal information.
    - Article 8: the standard contract or a certification from 100,000 people on up to fewer than
      1,000,000, and for fewer than 10,000 people with sensitive personal information.
    - Article 5(4): exempt below 100,000 people, without sensitive personal information.

    The other exemptions of Article 5 (such as a contract with the person, staff or an emergency) are
    not modelled. Duties to inform and to get separate consent (PIPL
    Article 39) hold whatever the route. Whether a client's update or a model counts as personal
    information of its people is not decided by any text that was read. This is no legal advice.

    Args:
        num_people: Number of people whose personal information that is not sensitive has been, or
            will be, exported since 1 January of the year, at least 0.
        num_sensitive: The same for people whose sensitive personal information (PIPL Article 28) is
            exported, at least 0.
        is_critical_operator: Whether the exporter is an operator of critical information
            infrastructure.
        has_important_data: Whether the data are important data (重要数据).

    Returns:
        The route; `str` of it is a phrase for a table. Without people and without important data
        nothing is exported, and the route is "exempt".

    Raises:
        TypeError: A count is not a whole number, or a flag is neither True nor False.
        ValueError: A count is negative, or larger than an int32.
    """
    num_people = check_count("num_people", num_people, at_least=0)
    num_sensitive = check_count("num_sensitive", num_sensitive, at_least=0)
    is_critical_operator = check_flag("is_critical_operator", is_critical_operator)
    exports_anything = num_people + num_sensitive > 0
    if (
        check_flag("has_important_data", has_important_data)
        or (is_critical_operator and exports_anything)
        or num_people >= FEWEST_FOR_AN_ASSESSMENT
        or num_sensitive >= FEWEST_SENSITIVE_FOR_AN_ASSESSMENT
    ):
        return ExportRoute.SECURITY_ASSESSMENT
    if num_people >= FEWEST_FOR_A_CONTRACT or num_sensitive > 0:
        return ExportRoute.CONTRACT_OR_CERTIFICATION
    return ExportRoute.EXEMPT
