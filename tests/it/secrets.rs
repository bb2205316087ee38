//! Secrets that stand in a configuration: nothing repeats them.

use crate::harness::{Gateway, Request, portcullis};

/// A secret that stands in the file, where it has no business, and whatever else is wrong with the line or the file.
const WRITTEN: [&str; 9] = [
    r#"sticky = { cookie = "at", secret = "the-literal-secret" }"#,
    r#"sticky = { cookie = "at home", secret = "the-literal-secret" }"#,
    r#"sticky = { cookie = "at", secert = "the-literal-secret" }"#,
    r#"sticky = { cookie = "at", secret = ["the-literal-secret"] }"#,
    r#"sticky = { cookie = "at", secret = the-literal-secret }"#,
    r#"sticky = { cookie = "at", secret = "the-literal-secret"#,
    r#"sticky = { cookie = "at", secret = "${env:NOBODY_SETS_THIS}", secret = "the-literal-secret" }"#,
    "sticky.cookie = \"at\"\nsticky.secret = \"\"\"\nthe-literal-secret \\x\n\"\"\"",
    "no_such_key = \"\"\"\nsticky.secret = \"the-literal-secret\"\n",
];

/// Nothing that is said of a configuration repeats a secret that is written in it: not to who checks it, not when it
/// keeps the gateway from starting, and not in the log and the answer when a reload is refused.
#[tokio::test]
async fn a_secret_that_is_written_where_it_should_not_be_is_not_repeated() {
    let start = "[[route]]\nname = \"all\"\nupstream = \"app\"\n\
                 [upstream.app]\nendpoints = [\"127.0.0.1:9\"]\n";
    let gateway = Gateway::start(start, &[]).await;
    for written in WRITTEN {
        let text = format!("{start}{written}\n");
        gateway.edit(&text, &[]);
        let path = gateway.config_path().display().to_string();
        for arguments in [
            &["check", "--config", &path][..],
            &["check", "--format", "json", "--config", &path],
            &["run", "--config", &path],
            &["explain", "--config", &path, "GET", "http://localhost/"],
        ] {
            let output = portcullis(arguments).await;
            assert_eq!(output.code, Some(2), "{written}: {output:?}");
            let said = output.stdout + &output.stderr;
            assert!(said.contains("gateway.toml"), "{written}: {said}");
            assert!(!said.contains("literal"), "{written}: {said}");
        }
        let refused = gateway.post_reload().await;
        assert_eq!(refused.status, 422, "{}", refused.text());
        assert!(refused.text().contains("gateway.toml"), "{written}");
        assert!(!refused.text().contains("literal"), "{}", refused.text());
    }
    let log = gateway.log();
    log.wait("a refused reload", |line| {
        line.message()
            .starts_with("configuration refused")
            .then_some(())
    })
    .await;
    assert!(!log.text().contains("literal"), "{}", log.text());
    let config = gateway.ask_admin(Request::get("/config")).await;
    assert!(!config.text().contains("literal"), "{}", config.text());
}
