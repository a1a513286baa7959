"""The facts that Stanch knows by name: of the organisation, and of an incident.

A playbook may set other facts too; those are kept as they are and no regime reads them. Names that a regime
reads, their types and the question that settles each stand here and nowhere else.
"""

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class FactKind:
    """One known fact.

    Attributes:
        name: ``organisation.NAME`` or ``incident.NAME``.
        type: ``string integer boolean datetime choice list[string]``.
        question: What to ask a person who could know.
        who: Role that most likely knows.
        options: Allowed values of a ``choice``, or of each entry of a list.
        dated: Whether it is an instant that starts a clock.
        fixed: Whether Stanch sets it on opening and nobody may change it.
        also: Older or shorter names that are read as this one.
    """

    name: str
    type: str
    question: str
    who: str = "incident_commander"
    options: tuple[str, ...] = ()
    dated: bool = False
    fixed: bool = False
    also: tuple[str, ...] = ()

    @property
    def scope(self) -> str:
        """``organisation`` or ``incident``."""
        return self.name.partition(".")[0]

    @property
    def short(self) -> str:
        """The name without its scope."""
        return self.name.partition(".")[2]


def _organisation(name: str, type_: str, question: str, **more: Any) -> FactKind:
    return FactKind(f"organisation.{name}", type_, question, **{"who": "legal", **more})


def _incident(name: str, type_: str, question: str, **more: Any) -> FactKind:
    return FactKind(f"incident.{name}", type_, question, **more)


def _dated(name: str, question: str, **more: Any) -> FactKind:
    return FactKind(f"incident.{name}", "datetime", question, dated=True, **more)


_PRIVACY = {"who": "privacy_officer"}

_OF_ORGANISATION = (
    _organisation("name", "string", "What is the organisation's legal name?"),
    _organisation("address", "string", "What is its registered address?"),
    _organisation("country", "string", "In which country (two letters) is its main establishment?"),
    _organisation("zone", "string", "In which time zone (such as Europe/Berlin) does the competent authority sit?"),
    _organisation("holidays", "string", "Whose public holidays (country, or COUNTRY-REGION) apply there?"),
    _organisation(
        "gdpr",
        "boolean",
        "Does the GDPR apply to its processing (Art. 3: established in the EEA, or offering to or monitoring "
        "people there)?",
        who="privacy_officer",
    ),
    _organisation("eu_establishment", "boolean", "Does it have an establishment in the EEA?", who="privacy_officer"),
    _organisation(
        "supervisory_authority",
        "string",
        "Which data protection authority is competent (Art. 55, 56)?",
        **_PRIVACY,
    ),
    _organisation("dpo_name", "string", "Who is the data protection officer or other contact?", **_PRIVACY),
    _organisation("dpo_contact", "string", "How is the data protection officer reached?", **_PRIVACY),
    _organisation(
        "nis2_entity",
        "choice",
        "Is it an essential or important entity under NIS2 (Art. 3)?",
        options=("essential", "important", "none"),
    ),
    _organisation(
        "nis2_services",
        "list[string]",
        "Which services listed in Implementing Regulation 2024/2690 does it provide?",
        options=(
            "cloud",
            "content_delivery_network",
            "data_centre",
            "dns",
            "managed_security_service",
            "managed_service",
            "online_marketplace",
            "online_search",
            "social_network",
            "tld_registry",
            "trust_service",
            "other",
        ),
    ),
    _organisation("csirt", "string", "Which CSIRT or authority receives its NIS2 notifications?"),
    _organisation("security_contact", "string", "Who answers the CSIRT, and how are they reached?"),
)

_ON_OPENING = (
    _incident("id", "string", "Which incident is it?", fixed=True),
    _incident("kind", "string", "Which kind of alert opened it?", fixed=True),
    _incident("severity", "integer", "How severe is it, 0 to 5?"),
    _incident("title", "string", "What is it called?"),
    _incident("org", "string", "Which tenant or org does it concern?", fixed=True),
    _incident("opened_at", "datetime", "When was it opened?", fixed=True),
    _incident("detected_at", "datetime", "When was it detected?"),
    _incident("first_seen", "datetime", "When was the first sign of it?"),
)

_OF_PERSONAL_DATA = (
    _incident("personal_data", "boolean", "Was personal data affected (read, copied, changed or lost)?", **_PRIVACY),
    _incident(
        "gdpr_role",
        "choice",
        "Are we controller or processor of the data concerned?",
        options=("controller", "joint_controller", "processor"),
        **_PRIVACY,
    ),
    _incident(
        "risk_to_people",
        "choice",
        "How likely is a risk to people's rights and freedoms?",
        options=("unlikely", "risk", "high"),
        **_PRIVACY,
    ),
    _incident("nature", "string", "What happened, in plain words?", **_PRIVACY),
    _incident(
        "breach_types",
        "list[string]",
        "Was confidentiality, integrity or availability affected?",
        options=("confidentiality", "integrity", "availability"),
        **_PRIVACY,
    ),
    _incident(
        "subjects",
        "integer",
        "How many people are affected, roughly?",
        also=("subject_count_approx",),
        **_PRIVACY,
    ),
    _incident("subject_categories", "list[string]", "Which groups of people (customers, staff)?", **_PRIVACY),
    _incident("subject_countries", "list[string]", "In which countries do the people live?", **_PRIVACY),
    _incident("records", "integer", "How many records, roughly?", who="crm_owner", also=("record_count_approx",)),
    _incident("record_categories", "list[string]", "Which kinds of records (contacts, orders)?", who="crm_owner"),
    _incident("followup_needed", "boolean", "Did the notification to the authority leave anything open?", **_PRIVACY),
    _incident("consequences", "string", "What may follow for the people concerned?", **_PRIVACY),
    _incident("measures", "string", "What has been done or is proposed, also to lessen the effects?"),
    _incident("delay_reasons", "string", "Why is the notification late?", **_PRIVACY),
    _incident(
        "unintelligible",
        "boolean",
        "Was the data unintelligible to whoever got it (such as encrypted)?",
        **_PRIVACY,
    ),
    _incident("high_risk_removed", "boolean", "Did later measures remove the high risk to people?", **_PRIVACY),
    _incident(
        "disproportionate_effort",
        "boolean",
        "Would telling each person take disproportionate effort (then: public communication)?",
        **_PRIVACY,
    ),
)

_OF_SECURITY = (
    _incident("malicious", "boolean", "Is an unlawful or malicious act suspected?"),
    _incident("cross_border", "boolean", "Could it have an effect in another country?"),
    _incident(
        "nis2_significant",
        "boolean",
        "Is the incident significant (NIS2 Art. 23(3): severe disruption, considerable damage to others)?",
        who="legal",
    ),
    _incident(
        "severe_disruption",
        "boolean",
        "Did it cause, or could it cause, severe disruption of the service or loss?",
    ),
    _incident(
        "damage_to_others",
        "boolean",
        "Did it cause, or could it cause, considerable damage to others?",
        who="legal",
    ),
    _incident(
        "compromise",
        "boolean",
        "Was the integrity, confidentiality or authenticity of stored or processed data compromised?",
    ),
    _incident("financial_loss_eur", "integer", "How large is the direct financial loss, in euro?", who="legal"),
    _incident("trade_secrets", "boolean", "Were trade secrets taken?", who="legal"),
    _incident("severity_and_impact", "string", "How severe is it, and what is its effect on the service?"),
    _incident("early_warning_update", "string", "What has changed since the early warning?"),
    _incident("indicators", "list[string]", "Which indicators of compromise are known?"),
    _incident("description", "string", "What happened, in detail, with severity and effect?"),
    _incident("root_cause", "string", "Which threat or root cause most likely triggered it?"),
    _incident("mitigation", "string", "Which mitigation was applied and is going on?"),
    _incident("cross_border_impact", "string", "What was the effect in other countries?"),
    _incident("status_update", "string", "Where do things stand now?"),
    _incident(
        "ongoing_at_final_report",
        "boolean",
        "Was the incident still going on when the final report fell due?",
    ),
)

_DATED = (
    _dated(
        "awareness",
        "When did we become reasonably certain that the incident compromised personal data?",
        who="privacy_officer",
        also=("controller_aware",),
    ),
    _dated(
        "processor_awareness",
        "When did we, as processor, become aware?",
        also=("processor_aware",),
        **_PRIVACY,
    ),
    _dated(
        "high_risk_assessment",
        "When was a high risk to people found likely?",
        also=("high_risk_assessed",),
        **_PRIVACY,
    ),
    _dated(
        "awareness_significant_incident",
        "When, after a first assessment, did we know that the incident could be significant?",
    ),
    _dated("authority_request", "When did the CSIRT or authority ask for a report?", who="legal"),
    _dated("incident_handled", "When was the incident handled?", also=("resolved",)),
)

KINDS: dict[str, FactKind] = {
    kind.name: kind for kind in (*_OF_ORGANISATION, *_ON_OPENING, *_OF_PERSONAL_DATA, *_OF_SECURITY, *_DATED)
}
"""Full name to kind, in the order in which the reference lists them."""

ALIASES: dict[str, str] = {f"{kind.scope}.{other}": kind.name for kind in KINDS.values() for other in kind.also}
"""Other name, in full, to the name in ``KINDS``."""
