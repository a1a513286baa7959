"""Text of the simulated Slack's page: format is shown as Slack shows it, and nothing comes out as markup."""

import pytest

from worker.slack.peer.page_blocks import Surface, drawn
from worker.slack.peer.page_text import Names, mrkdwn, plain
from worker.slack.peer.transcript import text_of

NAMES = Names({"U1": "Amal <b>"}, {"C1": "general"}, "U1")
HOSTILE = '<script>alert(1)</script> "><img src=x onerror=alert(1)> <https://e.example/"onclick="x|a"b>\ue0000\ue001'


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("*bold* _it_ ~gone~ `c*o*de`", "<b>bold</b> <i>it</i> <s>gone</s> <code>c*o*de</code>"),
        ("a*b*c snake_case_name 2 * 3 * 4", "a*b*c snake_case_name 2 * 3 * 4"),
        ("*_both_*", "<b><i>both</i></b>"),
        ("&gt; one\n&gt; two\nthree", "<blockquote>one<br>two</blockquote>three"),
        ("a &lt;b&gt; &amp;amp; &quot;", "a &lt;b&gt; &amp;amp; &amp;quot;"),
        ("```x *y*\nz```", "<pre>x *y*\nz</pre>"),
        ("<#C1> :warning: :no_such_name:", '<span class="mention">#general</span> ⚠️ :no_such_name:'),
        ("<@U1>", '<span class="mention mine">@Amal &lt;b&gt;</span>'),
        ("<!channel>", '<span class="mention mine">@channel</span>'),
        ("<!date^0^{date_num} at {time}|then>", "<time>1970-01-01 at 00:00 UTC</time>"),
        ("<javascript:alert(1)|click>", "&lt;javascript:alert(1)|click&gt;"),
    ],
)
def test_markup_is_shown_as_slack_shows_it(text, shown):
    assert mrkdwn(text, NAMES) == shown


def test_bare_addresses_and_calls_show_what_slack_would_make_of_them():
    shown = mrkdwn("see evil.com/x or @here.", NAMES)
    assert 'href="http://evil.com/x"' in shown and '<span class="mention mine">@here</span>' in shown
    assert mrkdwn("see evil.com or @here", NAMES, verbatim=True) == "see evil.com or @here"


def test_a_link_with_another_label_tells_its_target():
    shown = mrkdwn("<https://evil.example|https://bank.example>", NAMES)
    assert 'href="https://evil.example"' in shown and ">https://bank.example<" in shown
    assert text_of(shown) == "https://bank.example (https://evil.example)"


def test_plain_text_has_no_format():
    assert plain("*a* <@U1> evil.com\n:x:") == "*a* &lt;@U1&gt; evil.com<br>❌"


BLOCKS = [
    {"type": "header", "text": {"type": "plain_text", "text": HOSTILE}},
    {
        "type": "section",
        "block_id": HOSTILE,
        "text": {"type": "mrkdwn", "text": HOSTILE},
        "fields": [{"type": "mrkdwn", "text": HOSTILE}],
        "accessory": {
            "type": "static_select",
            "action_id": HOSTILE,
            "placeholder": {"type": "plain_text", "text": HOSTILE},
            "options": [{"text": {"type": "plain_text", "text": HOSTILE}, "value": HOSTILE}],
        },
    },
    {"type": "context", "elements": [{"type": "image", "image_url": HOSTILE, "alt_text": HOSTILE}]},
    {
        "type": "actions",
        "elements": [
            {
                "type": "button",
                "action_id": HOSTILE,
                "value": HOSTILE,
                "style": HOSTILE,
                "text": {"type": "plain_text", "text": HOSTILE},
            },
            {"type": HOSTILE, "action_id": HOSTILE},
        ],
    },
    {
        "type": "rich_text",
        "elements": [
            {
                "type": "rich_text_section",
                "elements": [
                    {"type": "text", "text": HOSTILE, "style": {"bold": True}},
                    {"type": "link", "url": "javascript:alert(1)", "text": HOSTILE},
                    {"type": "emoji", "name": HOSTILE},
                ],
            }
        ],
    },
    {
        "type": "input",
        "block_id": HOSTILE,
        "label": {"type": "plain_text", "text": HOSTILE},
        "element": {"type": "plain_text_input", "action_id": "a", "initial_value": HOSTILE, "multiline": True},
    },
    {"type": HOSTILE},
]


@pytest.mark.parametrize("sends", [{"as": HOSTILE}, {}])
def test_nothing_hostile_comes_out_as_markup(sends):
    shown = drawn(BLOCKS, Surface(NAMES, sends, errors={HOSTILE: HOSTILE}))
    assert "<script" not in shown and "<img" not in shown
    # Every quote that the text brings is escaped, so that no attribute can be ended.
    assert '"onclick' not in shown and '"><img' not in shown and 'href="javascript' not in shown
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in shown
