//! A line as one JSON object.

use super::clock::Clock;
use super::escape::write_json;
use super::field::FIELDS;
use crate::observe::record::AccessRecord;

/// Appends the object. Fields without a value are left out.
pub(super) fn write(record: &AccessRecord<'_>, clock: &mut Clock, out: &mut Vec<u8>) {
    let start = out.len();
    for field in FIELDS {
        let value = (field.value)(record);
        if value.is_nothing() {
            continue;
        }
        out.extend_from_slice(field.json_key.as_bytes());
        if value.is_number() {
            value.write(write_json, clock, out);
        } else {
            out.push(b'"');
            value.write(write_json, clock, out);
            out.push(b'"');
        }
    }
    // Every key brings the comma before it; the first one opens the object instead. There is always a time.
    if let Some(first) = out.get_mut(start) {
        *first = b'{';
    }
    out.push(b'}');
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::observe::access_log::testing::full_record;
    use crate::observe::record::AccessRecord;
    use proptest::prelude::*;
    use std::time::UNIX_EPOCH;

    fn line(record: &AccessRecord<'_>) -> String {
        let mut out = Vec::new();
        write(record, &mut Clock::default(), &mut out);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn a_full_line_has_every_field_in_order() {
        let line = line(&full_record());
        assert_eq!(
            line,
            concat!(
                r#"{"time":"2024-02-29T12:34:56.007Z","listener":"secure","client_ip":"192.0.2.7","#,
                r#""client_port":40000,"peer":"[2001:db8::1]:50000","protocol":"HTTP/2","method":"GET","#,
                r#""host":"api.example.com","path":"/v1/users/7","query":"a=1","status":503,"#,
                r#""reason":"no_endpoint","source":"gateway","route":"users","upstream":"users-v2","#,
                r#""endpoint":"10.0.0.1:9001","attempts":2,"earlier_attempts":"10.0.0.2:9001 503","#,
                r#""duration_ms":1234.567,"head_ms":0.050,"#,
                r#""upstream_connect_ms":1.000,"upstream_first_byte_ms":1200.000,"upstream_ms":1201.000,"#,
                r#""queued_ms":2.000,"overhead_ms":0.033,"bytes_received":11,"bytes_sent":22,"request_id":"id-1","#,
                r#""user_agent":"curl/8 \"x\"","referer":"https://example.com/","tls_version":"TLSv1.3","#,
                r#""tls_cipher":"TLS13_AES_128_GCM_SHA256","tls_sni":"api.example.com","#,
                r#""tls_client_subject":"CN=someone","grpc_status":14,"generation":3}"#,
            )
        );
        assert_eq!(
            FIELDS.len(),
            serde_json::from_str::<serde_json::Map<_, _>>(&line)
                .unwrap()
                .len()
        );
    }

    #[test]
    fn what_has_no_value_is_left_out() {
        let record = AccessRecord::new(UNIX_EPOCH, "127.0.0.1:1".parse().unwrap());
        assert_eq!(
            line(&record),
            concat!(
                r#"{"time":"1970-01-01T00:00:00.000Z","client_ip":"127.0.0.1","client_port":1,"status":0,"#,
                r#""source":"gateway","attempts":0,"duration_ms":0.000,"head_ms":0.000,"upstream_ms":0.000,"#,
                r#""overhead_ms":0.000,"bytes_received":0,"bytes_sent":0,"generation":0}"#,
            )
        );
    }

    proptest! {
        #[test]
        fn whatever_a_client_sends_the_line_is_one_json_object(
            method: Vec<u8>, host: Vec<u8>, path: Vec<u8>, query: Vec<u8>, agent: Vec<u8>, sni: String,
        ) {
            let mut record = full_record();
            record.method = &method;
            record.host = &host;
            record.path = &path;
            record.query = Some(&query);
            record.user_agent = &agent;
            record.referer = &agent;
            record.request_id = &agent;
            record.tls = record.tls.map(|mut tls| { tls.sni = &sni; tls });
            let line = line(&record);
            prop_assert!(!line.chars().any(char::is_control));
            prop_assert!(serde_json::from_str::<serde_json::Map<_, _>>(&line).is_ok(), "{line}");
        }
    }
}
