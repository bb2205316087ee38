//! Who gets which certificate, and who is let in.

use rustls::crypto::aws_lc_rs::kx_group;
use rustls::pki_types::CertificateDer;
use rustls::{CertificateError, ClientConfig, Error, NamedGroup};

use super::super::ClientSettings;
use super::super::testing::{
    Connected, Failed, Issuer, careless, client, connector, handshake, handshake_in_pieces, leaf,
    listener, speaking,
};
use super::*;

fn config(settings: &ServerSettings) -> Arc<ServerConfig> {
    server_config(settings).unwrap()
}

fn shown(connected: &Connected) -> CertificateDer<'static> {
    connected.client.peer_certificates().unwrap()[0]
        .clone()
        .into_owned()
}

#[test]
fn a_client_gets_the_certificate_for_its_name() {
    let issuer = Issuer::new();
    let pairs = [
        issuer.issue("default", &["default.test"]),
        issuer.issue("wildcard", &["*.example.com"]),
        issuer.issue("exact", &["api.example.com"]),
    ];
    let server = config(&listener(&pairs));
    for (name, place) in [
        ("api.example.com", 2),
        ("API.EXAMPLE.com", 2),
        ("api.example.com.", 2),
        ("www.example.com", 1),
        ("other.test", 0),
        ("192.0.2.1", 0),
    ] {
        let connected = handshake(&careless(|_| {}), &server, name).unwrap();
        assert_eq!(shown(&connected), leaf(&pairs[place]), "{name}");
    }
    let nameless = careless(|config| config.enable_sni = false);
    let connected = handshake(&nameless, &server, "api.example.com").unwrap();
    assert_eq!(shown(&connected), leaf(&pairs[0]));
}

#[test]
fn case_63_a_client_hello_in_pieces_gets_the_same_certificate_and_the_same_policy() {
    let issuer = Issuer::new();
    let pairs = [
        issuer.issue("default", &["default.test"]),
        issuer.issue("exact", &["api.example.com"]),
    ];
    let mut settings = listener(&pairs);
    let open = config(&settings);
    settings.client_auth = ClientAuth::Require {
        authority: issuer.authority_file(),
    };
    let guarded = config(&settings);
    let in_small_records = careless(|config| config.max_fragment_size = Some(32));
    for piece in [1, 7, usize::MAX] {
        let connected =
            handshake_in_pieces(&in_small_records, &open, "api.example.com", piece).unwrap();
        assert_eq!(shown(&connected), leaf(&pairs[1]));
        let failed = handshake_in_pieces(&in_small_records, &guarded, "api.example.com", piece);
        assert_eq!(
            failed.err().and_then(|failed| failed.server),
            Some(Error::NoCertificatesPresented)
        );
    }
}

#[test]
fn a_client_of_each_kind_of_key_is_served() {
    let issuer = Issuer::new();
    let name = ["example.com"];
    let rsa = issuer.issue_with("rsa", &name, &rcgen::PKCS_RSA_SHA256, |_| {});
    let ecdsa = issuer.issue("ecdsa", &name);
    let server = config(&listener(&[rsa.clone(), ecdsa.clone()]));
    // In TLS 1.2 the cipher suite says what key the certificate must have.
    for (kind, wanted) in [("ECDSA", &ecdsa), ("RSA", &rsa)] {
        let mut limited = rustls::crypto::aws_lc_rs::default_provider();
        limited.cipher_suites.retain(|suite| {
            let name = suite.suite().as_str().unwrap_or_default();
            name.contains(kind) && (kind == "ECDSA" || !name.contains("ECDSA"))
        });
        let client = ClientConfig::builder_with_provider(Arc::new(limited))
            .with_protocol_versions(&[&rustls::version::TLS12])
            .unwrap()
            .with_root_certificates(pem::authorities(&issuer.authority_file()).unwrap())
            .with_no_client_auth();
        let connected = handshake(&Arc::new(client), &server, "example.com").unwrap();
        assert_eq!(shown(&connected), leaf(wanted), "{kind}");
    }
    let modern = connector(&client(&issuer.authority_file()));
    let connected = handshake(&modern, &server, "example.com").unwrap();
    assert_eq!(shown(&connected), leaf(&ecdsa));
}

#[test]
fn a_client_that_can_do_hybrid_key_exchange_gets_it() {
    let issuer = Issuer::new();
    let server = config(&listener(&[issuer.issue("site", &["example.com"])]));
    let connected = handshake(
        &connector(&client(&issuer.authority_file())),
        &server,
        "example.com",
    )
    .unwrap();
    let group = connected.server.negotiated_key_exchange_group().unwrap();
    assert_eq!(group.name(), NamedGroup::X25519MLKEM768);
}

#[test]
fn a_client_without_hybrid_key_exchange_is_served_too() {
    let issuer = Issuer::new();
    let server = config(&listener(&[issuer.issue("site", &["example.com"])]));
    for group in [kx_group::X25519, kx_group::SECP256R1] {
        let mut old = rustls::crypto::aws_lc_rs::default_provider();
        old.kx_groups = vec![group];
        let client = ClientConfig::builder_with_provider(Arc::new(old))
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_root_certificates(pem::authorities(&issuer.authority_file()).unwrap())
            .with_no_client_auth();
        let connected = handshake(&Arc::new(client), &server, "example.com").unwrap();
        let agreed = connected.server.negotiated_key_exchange_group().unwrap();
        assert_eq!(agreed.name(), group.name());
    }
}

#[test]
fn min_version_refuses_what_is_older() {
    let issuer = Issuer::new();
    let mut settings = listener(&[issuer.issue("site", &["example.com"])]);
    let old = speaking(TlsVersion::Tls12, &issuer, None);
    assert!(handshake(&old, &config(&settings), "example.com").is_ok());

    settings.min_version = TlsVersion::Tls13;
    let failed = handshake(&old, &config(&settings), "example.com").err();
    let alert = rustls::AlertDescription::ProtocolVersion;
    assert_eq!(
        failed.and_then(|failed| failed.client),
        Some(Error::AlertReceived(alert))
    );
    let new = speaking(TlsVersion::Tls13, &issuer, None);
    assert!(handshake(&new, &config(&settings), "example.com").is_ok());
}

#[test]
fn the_preferred_common_protocol_is_agreed_on() {
    let issuer = Issuer::new();
    let mut settings = listener(&[issuer.issue("site", &["example.com"])]);
    let both = connector(&client(&issuer.authority_file()));
    let connected = handshake(&both, &config(&settings), "example.com").unwrap();
    assert_eq!(connected.server.alpn_protocol(), Some(&b"h2"[..]));

    settings.alpn = vec![Alpn::Http11];
    let connected = handshake(&both, &config(&settings), "example.com").unwrap();
    assert_eq!(connected.server.alpn_protocol(), Some(&b"http/1.1"[..]));

    let silent = careless(|_| {});
    let connected = handshake(&silent, &config(&settings), "example.com").unwrap();
    assert_eq!(connected.server.alpn_protocol(), None);
}

fn refused_client(failed: Result<Connected, Box<Failed>>) -> Option<Error> {
    failed.err().and_then(|failed| failed.server)
}

#[test]
fn case_65_required_client_certificates_must_be_of_the_authority_and_valid() {
    let issuer = Issuer::new();
    let stranger = Issuer::stranger();
    issuer.issue_with("alice", &["alice.test"], &rcgen::PKCS_ED25519, |params| {
        params.insert_extended_key_usage(rcgen::ExtendedKeyUsagePurpose::ClientAuth);
    });
    issuer.issue_with("late", &["late.test"], &rcgen::PKCS_ED25519, |params| {
        params.not_after = rcgen::date_time_ymd(2001, 1, 1);
    });
    issuer.issue_with("early", &["early.test"], &rcgen::PKCS_ED25519, |params| {
        params.not_before = rcgen::date_time_ymd(4000, 1, 1);
        params.not_after = rcgen::date_time_ymd(4001, 1, 1);
    });
    issuer.issue_with(
        "other-use",
        &["site.test"],
        &rcgen::PKCS_ED25519,
        |params| {
            params.insert_extended_key_usage(rcgen::ExtendedKeyUsagePurpose::ServerAuth);
        },
    );
    let mut settings = listener(&[issuer.issue("site", &["example.com"])]);
    settings.client_auth = ClientAuth::Require {
        authority: issuer.authority_file(),
    };
    let server = config(&settings);
    let with = |identity: Option<CertificatePaths>| {
        let settings = ClientSettings {
            identity,
            ..client(&issuer.authority_file())
        };
        handshake(&connector(&settings), &server, "example.com")
    };

    let connected = with(Some(issuer.paths("alice"))).unwrap();
    let seen = connected.server.peer_certificates().unwrap();
    assert_eq!(seen[0], leaf(&issuer.paths("alice")));

    assert_eq!(
        refused_client(with(None)),
        Some(Error::NoCertificatesPresented)
    );
    let unknown = stranger.issue("mallory", &["alice.test"]);
    assert_eq!(
        refused_client(with(Some(unknown))),
        Some(Error::InvalidCertificate(CertificateError::UnknownIssuer))
    );
    for (file, word) in [
        ("late", "Expired"),
        ("early", "NotValidYet"),
        ("other-use", "InvalidPurpose"),
    ] {
        let error = refused_client(with(Some(issuer.paths(file)))).unwrap();
        assert!(format!("{error:?}").contains(word), "{error:?}");
    }
}

/// What an authority may not speak for it cannot, and a NUL ends no name that is compared with that.
#[test]
fn case_65_client_certificates_keep_to_what_their_authority_may_speak_for() {
    let site = Issuer::new();
    let staff = Issuer::for_domain("staff.test");
    let mut settings = listener(&[site.issue("site", &["example.com"])]);
    settings.client_auth = ClientAuth::Require {
        authority: staff.authority_file(),
    };
    let server = config(&settings);
    let with = |name: &str| {
        let name = name.to_owned().try_into().unwrap();
        let identity = staff.issue_with("client", &[], &rcgen::PKCS_ED25519, |params| {
            params.subject_alt_names = vec![rcgen::SanType::DnsName(name)];
        });
        let settings = ClientSettings {
            identity: Some(identity),
            ..client(&site.authority_file())
        };
        handshake(&connector(&settings), &server, "example.com")
    };
    assert!(with("alice.staff.test").is_ok());
    for name in [
        "alice.other.test",
        "staff.test.other.test",
        "alice.staff.test\0.other.test",
        "alice.other.test\0.staff.test",
    ] {
        let error = refused_client(with(name));
        assert!(
            matches!(error, Some(Error::InvalidCertificate(_))),
            "{name:?}: {error:?}"
        );
    }
}

#[test]
fn requested_client_certificates_may_be_missing_but_not_wrong() {
    let issuer = Issuer::new();
    let mut settings = listener(&[issuer.issue("site", &["example.com"])]);
    settings.client_auth = ClientAuth::Request {
        authority: issuer.authority_file(),
    };
    let server = config(&settings);
    let with = |identity: Option<CertificatePaths>| {
        let settings = ClientSettings {
            identity,
            ..client(&issuer.authority_file())
        };
        handshake(&connector(&settings), &server, "example.com")
    };
    let without = with(None).unwrap();
    assert!(without.server.peer_certificates().is_none());
    let known = with(Some(issuer.issue("alice", &["alice.test"]))).unwrap();
    assert!(known.server.peer_certificates().is_some());
    let stranger = Issuer::stranger();
    let unknown = stranger.issue("mallory", &["alice.test"]);
    assert_eq!(
        refused_client(with(Some(unknown))),
        Some(Error::InvalidCertificate(CertificateError::UnknownIssuer))
    );
}

#[test]
fn a_changed_certificate_is_served_by_the_same_configuration() {
    let issuer = Issuer::new();
    let paths = issuer.issue("site", &["example.com"]);
    let tls = ServerTls::load(listener(std::slice::from_ref(&paths))).unwrap();
    let config = tls.config();
    let first = handshake(&careless(|_| {}), &config, "example.com").unwrap();
    assert_eq!(shown(&first), leaf(&paths));

    issuer.issue("site", &["example.com"]);
    assert_eq!(tls.reload_changed().len(), 1);
    assert!(Arc::ptr_eq(&config, &tls.config()));
    let second = handshake(&careless(|_| {}), &config, "example.com").unwrap();
    assert_eq!(shown(&second), leaf(&paths));
    assert_ne!(shown(&second), shown(&first));
}

#[test]
fn every_bad_file_is_told() {
    let issuer = Issuer::new();
    let mut settings = listener(&[issuer.paths("a"), issuer.paths("b")]);
    settings.client_auth = ClientAuth::Require {
        authority: issuer.path("nobody.pem"),
    };
    let errors = ServerTls::load(settings.clone()).unwrap_err();
    let paths: Vec<_> = errors
        .into_iter()
        .map(|error| error.path.unwrap())
        .collect();
    let wanted = ["a.pem", "b.pem", "nobody.pem"].map(|file| issuer.path(file));
    assert_eq!(paths, wanted);
    let first = server_config(&settings).unwrap_err();
    assert_eq!(first.path, Some(issuer.path("a.pem")));
}

#[test]
fn an_authority_that_cannot_be_one_is_told_by_its_number() {
    let issuer = Issuer::new();
    let broken = "-----BEGIN CERTIFICATE-----\nMAA=\n-----END CERTIFICATE-----\n";
    issuer.write(
        "clients.pem",
        &format!("{}{broken}", issuer.authority_pem()),
    );
    let mut settings = listener(&[issuer.issue("site", &["example.com"])]);
    settings.client_auth = ClientAuth::Request {
        authority: issuer.path("clients.pem"),
    };
    let error = server_config(&settings).unwrap_err();
    assert!(
        error.message.starts_with("certificate 2 of this file"),
        "{error}"
    );
}
