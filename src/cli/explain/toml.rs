//! Shown settings as one would write them, in one line.

use serde_json::{Map, Value};

/// A value as one would write it in the configuration.
pub(super) fn toml(value: &Value) -> String {
    match value {
        Value::Array(items) => {
            let items: Vec<String> = items.iter().map(toml).collect();
            format!("[{}]", items.join(", "))
        }
        Value::Object(entries) => inline_table(entries),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => value.to_string(),
    }
}

fn inline_table(entries: &Map<String, Value>) -> String {
    let entries: Vec<String> = entries
        .iter()
        .filter(|(_, value)| !says_nothing(value))
        .map(|(key, value)| format!("{} = {}", toml_key(key), toml(value)))
        .collect();
    format!("{{ {} }}", entries.join(", "))
}

fn toml_key(key: &str) -> String {
    let bare = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_' || byte == b'-';
    if !key.is_empty() && key.bytes().all(bare) {
        key.to_owned()
    } else {
        Value::from(key).to_string()
    }
}

/// A part of a table; `null` where it has none of that name.
pub(super) fn at<'v>(table: &'v Value, key: &str) -> &'v Value {
    table.get(key).unwrap_or(&Value::Null)
}

/// Whether a setting is not there, or empty.
pub(super) fn says_nothing(value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::Array(items) => items.is_empty(),
        Value::Object(entries) => entries.is_empty(),
        Value::Number(number) => number.as_i64() == Some(0),
        Value::Bool(_) | Value::String(_) => false,
    }
}

/// Whether a secret is part of a setting, which is shown as a reference to it.
pub(super) fn holds_secret(value: &Value) -> bool {
    match value {
        Value::String(text) => text.contains("${env:") || text.contains("${file:"),
        Value::Array(items) => items.iter().any(holds_secret),
        Value::Object(entries) => entries.values().any(holds_secret),
        Value::Null | Value::Bool(_) | Value::Number(_) => false,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_setting_looks_as_it_is_written() {
        let filter = json!({ "kind": "rewrite", "path": "/a\"b", "add": {}, "remove": [], "set": { "x-a": "b", "c d": 1 } });
        assert_eq!(
            toml(&filter),
            r#"{ kind = "rewrite", path = "/a\"b", set = { "c d" = 1, x-a = "b" } }"#
        );
        assert_eq!(toml(&json!(["a", true])), r#"["a", true]"#);
    }

    #[test]
    fn a_secret_is_found_wherever_it_stands() {
        assert!(holds_secret(
            &json!({ "set": { "x": ["Bearer ${env:TOKEN}"] } })
        ));
        assert!(holds_secret(&json!("${file:token}")));
        assert!(!holds_secret(&json!({ "set": { "x": "${client_ip}" } })));
    }
}
