//! What a hostile template is held to.

use super::*;

fn render(source: &str) -> Result<String, ChatError> {
    let template = ChatTemplate::new(source, "<s>", "</s>")?;
    template.render(&[Message::new("user", "hello")], true)
}

/// What a template makes whose operators, filters and methods are all measured ones.
#[test]
fn measured_operators_are_those_of_jinja() {
    for (source, made) in [
        ("{{ 'a' ~ 1 ~ [2, 'b'] }}", "a1[2, \"b\"]"),
        (
            "{{ 'a' + 'b' }}{{ 1 + 2 }}{{ 1.5 + 1 }}{{ [1] + [2] }}",
            "ab32.5[1, 2]",
        ),
        ("{{ [2, 3]|length * 2 ** 2 * -1 }}", "-8"),
        ("{{ 'ab' * 3 }}{{ 2 * 3 }}{{ [1] * 2 }}", "ababab6[1, 1]"),
        (
            "{{ 'aXbX'.replace('X', '==') }}{{ 'aXb'|replace('X', '') }}",
            "a==b==ab",
        ),
        (
            "{{ ', '.join(['a', 1]) }}{{ [1, 2]|join('-') }}{{ 'ab'|join }}",
            "a, 11-2ab",
        ),
        (
            "{{ 'a\nb'|indent(2) }}{{ 'a\nb'|indent(width=1) }}",
            "a\n  ba\n b",
        ),
        (
            "{{ '%s=%3d'|format('x', 5) }}{{ '{}-{}'.format(1, 2) }}",
            "x=  51-2",
        ),
        ("{{ '<'|e }}{{ 'a b'|upper }}{{ 1|string }}", "&lt;A B1"),
        (
            "{{ [1, 2, 3]|batch(2)|list }}{{ 'aa'.count('a') }}{{ 'ab'.count('') }}",
            "[[1, 2], [3]]23",
        ),
        (
            "{% set ns = namespace(x='') %}{% for i in range(3) %}{% set ns.x = ns.x ~ i %}{% endfor %}{{ ns.x }}",
            "012",
        ),
        (
            "{% macro m(a) %}<{{ a ~ a }}>{% endmacro %}{{ m('x') }}",
            "<xx>",
        ),
    ] {
        assert_eq!(render(source).expect(source), made, "{source}");
    }
    assert!(matches!(render("{{ 1 + 'a' }}"), Err(ChatError::Failed(_))));
}

#[test]
fn texts_and_lists_that_grow_without_end_are_refused() {
    let growing = |step: &str| {
        format!(
            "{{% set ns = namespace(x='aaaaaaaaaa') %}}{{% for i in range(60) %}}{step}{{% endfor \
             %}}{{{{ ns.x|length }}}}"
        )
    };
    let mut hostile: Vec<String> = [
        "{% set ns.x = ns.x ~ ns.x %}",
        "{% set ns.x = ns.x + ns.x %}",
        "{% set ns.x = ns.x * 9 %}",
        "{% set ns.x = ns.x.replace('a', ns.x) %}",
        "{% set ns.x = ns.x|replace('a', ns.x) %}",
        "{% set ns.x = ns.x.replace('', 'aa') %}",
        "{% set ns.x = ns.x.join([ns.x, ns.x]) %}",
        "{% set ns.x = [ns.x, ns.x]|join %}",
        "{% set ns.x = '%s%s'|format(ns.x, ns.x) %}",
        "{% set ns.x = '{0}{0}'.format(ns.x) %}",
        "{% set ns.x = [ns.x, ns.x]|tojson %}",
        "{% set ns.x = [ns.x, ns.x]|string %}",
        "{% set ns.x = [ns.x, ns.x]|pprint %}",
        "{% set ns.x = '<' ~ ns.x|e ~ ns.x %}",
        "{% set ns.x %}{{ ns.x }}{{ ns.x }}{% endset %}",
        "{% set ns.x = [ns.x] if i == 0 else ns.x + ns.x %}",
        "{% set ns.x = [ns.x] if i == 0 else ns.x|chain(ns.x) %}",
        "{% set ns.x = [ns.x] if i == 0 else ns.x * 9 %}",
        "{% set ns.x = [ns.x, ns.x] %}{% if i > 30 %}{{ ns.x }}{% endif %}",
    ]
    .map(growing)
    .into();
    let own = format!(
        "{{% set x %}}{{% for i in range(90000) %}}{}{{% endfor %}}{{% endset %}}{{{{ x|length }}}}",
        "raw ".repeat(5_000)
    );
    hostile.extend([
        own,
        "{{ 'a'|indent(99999999) }}{{ '\n\n'|indent(1000000000, true, true) }}".to_owned(),
        "{{ 'a\nb'|indent(width=1000000000) }}".to_owned(),
        "{{ [1]|batch(100000000000, 2) }}".to_owned(),
        "{{ '%999999999d'|format(1) }}".to_owned(),
        "{{ '{:999999999}'.format(1) }}".to_owned(),
        "{{ [1] * 9999999999 }}".to_owned(),
        "{{ ('a' * 90000000)|length }}{{ ['a'] * 10000 * 10000 }}".to_owned(),
        format!("{{{{ '' {} }}}}", " ~ 'a' * 90000000".repeat(100)),
        "{% set x = 'a' * 100000 %}{{ x.replace('a', x) }}".to_owned(),
        format!("{{{{ 'a'{} }}}}", " ~ 'a'".repeat(30_000)),
    ]);
    for source in &hostile {
        let shown: String = source.chars().take(160).collect();
        let refused = render(source);
        let is_refused = matches!(refused, Err(ChatError::Failed(_) | ChatError::Syntax(_)));
        assert!(is_refused, "{shown}: {:?}", refused.map(|made| made.len()));
    }
}

#[test]
fn values_nested_deep_do_not_use_up_the_stack() {
    let nested = "{% set ns = namespace(x=[]) %}{% for i in range(90000) %}{% set ns.x = [ns.x] \
                  %}{% endfor %}";
    // Whatever is made of it, the program goes on.
    for end in [
        "",
        "{{ ns.x|length }}",
        "{{ ns.x }}",
        "{{ ns.x == ns.x }}",
        "{{ ns.x|tojson }}",
    ] {
        let _ = render(&format!("{nested}{end}"));
    }
    let long = format!("{{{{ 'a'{} }}}}", " ~ 'b'".repeat(20_000));
    assert!(render(&long).is_ok() || long.len() > 128 << 10);
}
