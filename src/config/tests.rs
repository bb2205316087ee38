//! The language as a whole: the example of the design, defaults, secrets, files.

use std::{fs, path::Path, time::Duration};

use super::*;

fn parse(text: &str) -> Loaded {
    parse_with("test.toml", text, Path::new("conf"), &|name| {
        (name == "SECRET").then(|| "hunter2".to_owned())
    })
}

fn valid(text: &str) -> Config {
    let loaded = parse(text);
    assert!(loaded.diagnostics.is_empty(), "{}", loaded.diagnostics);
    loaded.config.unwrap()
}

#[test]
fn the_example_of_the_design_means_what_it_says() {
    let config = valid(include_str!("../../tests/golden/design-example.toml"));
    assert_eq!(config.server.workers.as_ref().unwrap().get(), 2);
    assert_eq!(config.server.drain.value, Duration::from_secs(30));
    let [web, secure] = config.listeners.as_slice() else {
        panic!("two listeners")
    };
    assert_eq!(web.name.as_str(), "web");
    assert!(web.tls.is_none());
    let tls = secure.tls.as_ref().unwrap();
    let files = &tls.certificates.first().unwrap().value;
    assert_eq!(files.key.as_path(), Path::new("conf/tls/site.key"));
    let names: Vec<_> = config.routes.iter().map(|r| r.name.as_str()).collect();
    assert_eq!(names, ["users", "canary", "old", "alive"]);
    let kinds: Vec<_> = config.routes[0].filters.iter().map(|f| f.kind()).collect();
    assert_eq!(kinds, ["request_headers", "rewrite"]);
    let users = config.upstreams.get("users").unwrap();
    let weights: Vec<_> = users.endpoints.iter().map(|e| e.weight.get()).collect();
    assert_eq!(weights, [1, 3]);
    assert_eq!(users.connect_timeout.get(), Duration::from_secs(1));
    let names: Vec<_> = config.upstreams.names().map(|n| n.as_str()).collect();
    assert_eq!(names, ["users", "orders", "orders-next", "partner"]);
}

#[test]
fn an_empty_file_is_all_defaults() {
    let config = valid("");
    assert_eq!(config.admin.address.to_string(), "127.0.0.1:9901");
    assert!(config.admin.enabled.value);
    assert_eq!(config.access_log.output.value, access_log::Output::Stdout);
    assert_eq!(config.server.max_connections.get(), 15_000);
}

#[test]
fn a_secret_reaches_the_value_and_nothing_that_is_shown() {
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join("token"), "s3cr3t\r\n\n").unwrap();
    let text = r#"
[[route]]
name = "a"
respond = { body = "${env:SECRET}-${file:token}", headers = { authorization = "Bearer ${env:SECRET}" } }
[[listener]]
name = "${env:SECRET}"
address = "${env:ADDRESS}"
"#;
    let loaded = parse_with("a.toml", text, dir.path(), &|name| match name {
        "SECRET" => Some("hunter2".to_owned()),
        "ADDRESS" => Some("127.0.0.1:1234".to_owned()),
        _ => None,
    });
    assert!(loaded.diagnostics.is_empty(), "{}", loaded.diagnostics);
    let config = loaded.config.unwrap();
    let respond = config.routes[0].respond.as_ref().unwrap();
    assert_eq!(respond.body.value, "hunter2-s3cr3t");
    assert_eq!(config.listeners[0].address.port(), 1234);
    let shown = redacted(&config);
    assert_eq!(
        shown["route"][0]["respond"]["body"],
        "${env:SECRET}-${file:token}"
    );
    assert_eq!(shown["listener"][0]["address"], "${env:ADDRESS}");
    let everything = format!("{config:?} {shown}");
    for secret in ["hunter2", "s3cr3t", "1234"] {
        assert!(!everything.contains(secret), "{secret} in {everything}");
    }
    assert!(loaded.files.contains(&dir.path().join("token")));
}

#[test]
fn findings_never_show_what_a_secret_holds() {
    let loaded = parse(
        r#"
[server]
workers = "${env:SECRET}"
drain = "${env:SECRET}"
[admin]
enabled = "${env:SECRET}"
address = "${env:SECRET}"
[access_log]
format = "${env:SECRET}"
[log]
format = "${env:SECRET}"
[[listener]]
name = "${env:SECRET} "
max_head_size = "${env:SECRET}"
proxy_protocol = ["${env:SECRET}"]
[[route]]
name = "a"
filters = [{ kind = "${env:SECRET}" }]
[upstream.a]
endpoints = ["${env:SECRET}"]
health = { path = "/", expected_status = ["${env:SECRET}"] }
"#,
    );
    let shown = loaded.diagnostics.to_string();
    assert_eq!(loaded.diagnostics.errors(), 13, "{shown}");
    assert!(!shown.contains("hunter2"), "{shown}");
}

#[test]
fn equal_configurations_have_equal_fingerprints() {
    let one = valid("[server]\ndrain = \"60s\"\n");
    let same = valid("# other text\nserver = { drain = \"1m\" }\n");
    let other = valid("[server]\ndrain = \"61s\"\n");
    assert_eq!(fingerprint(&one), fingerprint(&same));
    assert_ne!(fingerprint(&one), fingerprint(&other));
    assert_eq!(fingerprint(&one).len(), 16);
    // It is that of the whole text, so that nothing of the configuration can be forgotten in it.
    let many = "[[route]]\nname = \"a\"\nrespond = {}\n[[route]]\nname = \"b\"\nrespond = {}\n";
    let example = include_str!("../../tests/golden/design-example.toml");
    for config in [one, valid(many), valid(example)] {
        let mut whole = Fnv::default();
        whole.text(redacted(&config).to_string().as_bytes());
        assert_eq!(fingerprint(&config), format!("{:016x}", whole.number));
    }
}

#[test]
fn what_was_read_reads_the_same_until_a_file_says_something_else() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    let write = |name: &str, text: &str| fs::write(at(name), text).unwrap();
    fs::create_dir(at("routes")).unwrap();
    write(
        "a.toml",
        "include = [\"routes/*.toml\"]\n[log]\nlevel = \"${file:level}\"\n",
    );
    write("level", "info");
    write(
        "routes/one.toml",
        "[[route]]\nname = \"one\"\nrespond = {}\n",
    );
    let read = || {
        let loaded = load(&at("a.toml"));
        assert!(!loaded.diagnostics.has_errors(), "{}", loaded.diagnostics);
        assert!(loaded.reads_the_same());
        loaded
    };
    let before = read();
    // Another file of the same content is the same.
    write("fresh", "info");
    fs::rename(at("fresh"), at("level")).unwrap();
    assert!(before.reads_the_same());

    write("level", "warn");
    assert!(!before.reads_the_same(), "a secret");
    let before = read();
    write("routes/one.toml", "");
    assert!(!before.reads_the_same(), "an included file");
    let before = read();
    write("routes/two.toml", "");
    assert!(!before.reads_the_same(), "a further file");
    let before = read();
    fs::remove_file(at("routes/two.toml")).unwrap();
    assert!(!before.reads_the_same(), "a file that is gone");
    let before = read();
    write("a.toml", "[");
    assert!(!before.reads_the_same(), "the file itself");
    // Half a file may be followed by the other half.
    assert!(!load(&at("a.toml")).reads_the_same());
}

/// Ten thousand routes are kept as they were read, beside what was made of them.
#[test]
fn a_route_takes_no_more_room_than_it_did() {
    let bytes = size_of::<Placed<Route>>();
    assert!(bytes <= 1_400, "{bytes}");
}

#[test]
fn a_shown_configuration_can_be_loaded_again() {
    let config = valid(include_str!("../../tests/golden/design-example.toml"));
    let shown = redacted(&config);
    let mut text = toml_text(&shown);
    text = text.replace("conf/tls", "tls");
    assert_eq!(redacted(&valid(&text)), shown);
}

/// JSON as TOML, everything inline.
fn toml_text(json: &Json) -> String {
    let table = json.as_object().unwrap();
    table
        .iter()
        .map(|(k, v)| format!("{k} = {}\n", inline(v)))
        .collect()
}

fn inline(json: &Json) -> String {
    match json {
        Json::Object(table) => {
            let entries: Vec<_> = table
                .iter()
                .map(|(k, v)| format!("{k:?} = {}", inline(v)))
                .collect();
            format!("{{ {} }}", entries.join(", "))
        }
        Json::Array(items) => {
            let items: Vec<_> = items.iter().map(inline).collect();
            format!("[{}]", items.join(", "))
        }
        plain => plain.to_string(),
    }
}

#[test]
fn every_file_that_has_a_part_in_it_is_named() {
    let dir = tempfile::tempdir().unwrap();
    let write = |name: &str, text: &str| {
        let path = dir.path().join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, text).unwrap();
    };
    write(
        "main.toml",
        "include = [\"routes/*.toml\", \"routes/a.toml\", \"absent.toml\"]\n[admin]\naddress = \"${file:address}\"\n",
    );
    write("address", "127.0.0.1:1\n");
    write(
        "routes/a.toml",
        "[[route]]\nname = \"a\"\nrespond = { body = \"${file:body}\" }\n",
    );
    write("routes/b.toml", "[[route]]\nname = \"b\"\nrespond = {}\n");
    write("routes/body", "hello");
    write("routes/.c.toml", "not TOML");
    let loaded = load(&dir.path().join("main.toml"));
    let codes: Vec<_> = loaded.diagnostics.iter().map(|d| d.code).collect();
    assert_eq!(codes, [Code::UnreadableFile]);
    assert!(loaded.config.is_none(), "a part of it is missing");
    let names = |paths: &[std::path::PathBuf]| -> Vec<String> {
        let name =
            |p: &std::path::PathBuf| p.strip_prefix(dir.path()).unwrap().display().to_string();
        paths.iter().map(name).collect()
    };
    assert_eq!(
        names(&loaded.files),
        [
            "main.toml",
            "address",
            "routes/a.toml",
            "routes/body",
            "routes/b.toml",
            "absent.toml"
        ]
    );
    assert_eq!(names(&loaded.directories), ["routes"]);

    write("absent.toml", "");
    let config = load(&dir.path().join("main.toml")).config.unwrap();
    let bodies: Vec<_> = config
        .routes
        .iter()
        .map(|r| r.respond.as_ref().unwrap().body.value.as_str())
        .collect();
    assert_eq!(bodies, ["hello", ""]);
}

#[test]
fn a_message_about_an_included_file_names_that_file() {
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join("main.toml"), "include = [\"part.toml\"]\n").unwrap();
    fs::write(dir.path().join("part.toml"), "\n[server]\ndrian = \"1s\"\n").unwrap();
    let loaded = load(&dir.path().join("main.toml"));
    let found = loaded.diagnostics.iter().next().unwrap();
    assert!(found.file.ends_with("part.toml"), "{}", found.file);
    assert_eq!((found.line, found.column), (Some(3), Some(1)));
}
