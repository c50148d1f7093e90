use super::*;

/// The tree as nested calls, for comparison.
fn shown(expression: &Tree) -> String {
    match &expression.kind {
        Kind::Column(name) => name.clone(),
        Kind::Literal(Literal::String(text)) => format!("'{}'", String::from_utf8_lossy(text)),
        Kind::Literal(Literal::Unsigned(value)) => value.to_string(),
        Kind::Literal(Literal::Negative(value)) => value.to_string(),
        Kind::Literal(other) => format!("{other:?}"),
        Kind::Call { name, arguments } => {
            format!(
                "{name}({})",
                arguments.iter().map(shown).collect::<Vec<_>>().join(",")
            )
        }
    }
}

#[track_caller]
fn check(text: &str, expected: &str) {
    assert_eq!(shown(&parse(text).unwrap()), expected, "{text}");
}

#[test]
fn operators_bind_as_in_clickhouse() {
    check("a + b * c", "plus(a,multiply(b,c))");
    check("a - b - c", "minus(minus(a,b),c)");
    check("(a + b) % 7", "modulo(plus(a,b),7)");
    check("-a * 2", "multiply(negate(a),2)");
    check("a -1", "minus(a,1)");
    check(
        "a % 2 > 1 or not b = c",
        "or(greater(modulo(a,2),1),not(equals(b,c)))",
    );
    check("a MOD 3 div 2", "intDiv(modulo(a,3),2)");
    check("s || 'x' || t", "concat(concat(s,'x'),t)");
}

#[test]
fn a_minus_before_digits_belongs_to_the_literal() {
    check("-1", "-1");
    check("- 1 + k", "plus(-1,k)");
    check("-(1)", "negate(1)");
    check("-9223372036854775808", "-9223372036854775808");
    check("-0", "0");
}

#[test]
fn calls_tuples_casts_and_names_are_read() {
    check("cityHash64(a, `b c`)", "cityHash64(a,b c)");
    check("f((a, b), (c,), ())", "f(tuple(a,b),tuple(c),tuple())");
    check("cast(a AS UInt8)", "CAST(a,'UInt8')");
    check("CAST(a, 'UInt8')", "CAST(a,'UInt8')");
    check("a::DateTime('UTC') + 1", "plus(CAST(a,'DateTime('UTC')'),1)");
    check(
        "CAST(a + 1 AS Nullable(FixedString(3)))",
        "CAST(plus(a,1),'Nullable(FixedString(3))')",
    );
    check("-1::UInt8", "CAST('-1','UInt8')");
    check("n.a", "n.a");
    check("x[1][2]", "arrayElement(arrayElement(x,1),2)");
    check("[a, a]", "array(a,a)");
    check("rand()", "rand()");
    check("`true` + TRUE", "plus(true,Bool(true))");
}

#[test]
fn predicates_cases_and_choices_are_calls() {
    check("a is null or b IS NOT NULL", "or(isNull(a),isNotNull(b))");
    check("a in (1, 2)", "or(equals(a,1),equals(a,2))");
    check("a NOT IN (1)", "not(equals(a,1))");
    check(
        "a between 1 and 2 and b",
        "and(and(greaterOrEquals(a,1),lessOrEquals(a,2)),b)",
    );
    check("a > 1 ? b : c", "if(greater(a,1),b,c)");
    check("case when a then 1 else 2 end + 1", "plus(multiIf(a,1,2),1)");
    check("CASE a WHEN 1 THEN 'x' END", "multiIf(equals(a,1),'x',Null)");
    check("case % 2", "modulo(case,2)");
    check(
        "f(a).1 + (a, b).2",
        "plus(tupleElement(f(a),1),tupleElement(tuple(a,b),2))",
    );
}

#[track_caller]
fn refuses(text: &str, offset: usize, expected: &str) {
    let refusal = parse(text).unwrap_err();
    assert_eq!(
        (refusal.offset, refusal.reason.to_string()),
        (Some(offset), expected.to_owned()),
        "{text}"
    );
}

#[test]
fn broken_text_is_refused_with_its_place() {
    refuses("", 0, "expected a column, a function or a literal, found the end");
    refuses(
        "k +",
        3,
        "expected a column, a function or a literal, found the end",
    );
    refuses(
        "cityHash64(",
        11,
        "expected a column, a function or a literal, found the end",
    );
    refuses("cityHash64(k", 12, "expected ',' or ')', found the end");
    refuses("k k", 2, "expected an operator or the end, found 'k'");
    refuses("k)", 1, "expected an operator or the end, found ')'");
    refuses("CAST(k)", 6, "expected AS or ',', found ')'");
    refuses(
        "CAST(k AS UInt8(",
        16,
        "expected ')' behind the type, found the end",
    );
    refuses("k::3", 3, "expected a type, found a number");
    refuses("n.", 2, "expected a name behind '.', found the end");
    refuses("-9223372036854775809", 0, "the number does not fit into 64 bits");
}

#[test]
fn depth_and_length_have_limits() {
    let deep = |text: String| matches!(parse(&text).unwrap_err().reason, KeyReason::TooDeep { .. });
    assert!(deep("(".repeat(2000)));
    assert!(deep("- ".repeat(2000)));
    assert!(deep("f(".repeat(2000)));
    assert!(deep(format!("k{}", "+k".repeat(2000))));
    assert!(deep(format!("k{}", "::T".repeat(2000))));
    assert!(deep(format!("k{}", "[1]".repeat(2000))));
    let long = parse(&" ".repeat(TEXT_BYTES_MAX + 1)).unwrap_err();
    assert_eq!(
        long.reason,
        KeyReason::TooLong {
            limit: TEXT_BYTES_MAX
        }
    );
}

proptest::proptest! {
    #[test]
    fn no_text_makes_the_parser_panic(text in "[a-z0-9(),' `\"\\\\é:.\\[\\]%*+-]{0,40}") {
        let _ = parse(&text);
    }
}
