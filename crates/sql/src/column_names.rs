//! Names of columns that SQL would take for something else: paths into objects, `payload.temp`,
//! and Kafka's own columns, `$key`.
//! It must not know which columns there are.

use std::ops::ControlFlow;

use datafusion::sql::sqlparser::ast::{AccessExpr, Expr, Ident, Value, visit_expressions_mut};

/// Makes every path and every such name of an expression one quoted name. Whether there is any.
pub(crate) fn quote_names(expr: &mut Expr) -> bool {
    let mut has_some = false;
    let _ = visit_expressions_mut(expr, |node| {
        if let Some(name) = name_of(node) {
            *node = Expr::Identifier(Ident::with_quote('"', name));
            has_some = true;
        }
        ControlFlow::<()>::Continue(())
    });
    has_some
}

/// The name that an expression is, where it is one that has to be quoted.
fn name_of(expr: &Expr) -> Option<String> {
    match expr {
        Expr::CompoundIdentifier(parts) => {
            let parts: Vec<&str> = parts.iter().map(|part| part.value.as_str()).collect();
            Some(parts.join("."))
        }
        Expr::Value(value) => match &value.value {
            Value::Placeholder(name) if name.len() > 1 => Some(name.clone()),
            _ => None,
        },

        Expr::CompoundFieldAccess { root, access_chain } => {
            let mut name = match root.as_ref() {
                Expr::Identifier(root) => root.value.clone(),
                root => name_of(root)?,
            };
            for access in access_chain {
                let AccessExpr::Dot(Expr::Identifier(part)) = access else { return None };
                name.push('.');
                name.push_str(&part.value);
            }
            Some(name)
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use crate::expression::{columns_of, parse};

    #[test]
    fn paths_and_columns_of_a_record_are_names() {
        for (sql, names, said) in [
            ("avg(payload.temp)", vec!["payload.temp"], r#"avg("payload.temp")"#),
            ("a.b.c + \"x y\".z", vec!["a.b.c", "x y.z"], r#""a.b.c" + "x y.z""#),
            ("$key || $headers.unit", vec!["$headers.unit", "$key"], r#""$key" || "$headers.unit""#),
            ("$timestamp", vec!["$timestamp"], r#""$timestamp""#),
            ("count(*) FILTER (WHERE p.ok)", vec!["p.ok"], r#"count(*) FILTER (WHERE "p.ok")"#),
            ("last_value(p ORDER BY m.ts)", vec!["m.ts", "p"], r#"last_value(p ORDER BY "m.ts")"#),
        ] {
            assert_eq!(columns_of("x", sql).unwrap().into_iter().collect::<Vec<_>>(), names, "{sql}");
            assert_eq!(parse("x", sql).unwrap().to_string(), said);
        }
    }
}
