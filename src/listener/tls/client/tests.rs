//! Whom the gateway believes towards an upstream, and what it shows of itself.

use rustls::{CertificateError, Error, HandshakeKind, ServerConfig};

use super::super::testing::{Failed, Issuer, client, connector, handshake, leaf, listener};
use super::super::{ClientAuth, server_config};
use super::*;

fn site(issuer: &Issuer) -> Arc<ServerConfig> {
    server_config(&listener(&[issuer.issue("site", &["partner.test"])])).unwrap()
}

fn refusal(failed: &Failed) -> CertificateError {
    match &failed.client {
        Some(Error::InvalidCertificate(error)) => error.clone(),
        other => panic!("{other:?}"),
    }
}

#[test]
fn case_67_another_authority_or_name_is_refused() {
    let issuer = Issuer::new();
    let server = site(&issuer);
    let trusting = connector(&client(&issuer.authority_file()));
    assert!(handshake(&trusting, &server, "partner.test").is_ok());

    let other_name = handshake(&trusting, &server, "other.test").err().unwrap();
    assert!(matches!(
        refusal(&other_name),
        CertificateError::NotValidForNameContext { .. }
    ));
    let strange = connector(&client(&Issuer::stranger().authority_file()));
    let other_authority = handshake(&strange, &server, "partner.test").err().unwrap();
    assert_eq!(refusal(&other_authority), CertificateError::UnknownIssuer);
}

#[test]
fn case_67_an_expired_upstream_is_refused() {
    let issuer = Issuer::new();
    let old = issuer.issue_with("old", &["partner.test"], &rcgen::PKCS_ED25519, |params| {
        params.not_after = rcgen::date_time_ymd(2001, 1, 1);
    });
    let server = server_config(&listener(&[old])).unwrap();
    let trusting = connector(&client(&issuer.authority_file()));
    let failed = handshake(&trusting, &server, "partner.test").err().unwrap();
    assert!(matches!(
        refusal(&failed),
        CertificateError::ExpiredContext { .. }
    ));
}

#[test]
fn an_address_is_a_name_too_and_is_not_sent() {
    let issuer = Issuer::new();
    let pairs = [issuer.issue("address", &["192.0.2.7"])];
    let server = server_config(&listener(&pairs)).unwrap();
    let trusting = connector(&client(&issuer.authority_file()));
    let connected = handshake(&trusting, &server, "192.0.2.7").unwrap();
    assert_eq!(connected.server.server_name(), None);
    assert!(handshake(&trusting, &server, "192.0.2.8").is_err());
}

#[test]
fn without_verification_anything_is_taken_and_the_name_is_still_sent() {
    let issuer = Issuer::new();
    let settings = ClientSettings {
        verification: Verification::None,
        ..client(&issuer.authority_file())
    };
    let connected = handshake(&connector(&settings), &site(&issuer), "other.test").unwrap();
    assert_eq!(connected.server.server_name(), Some("other.test"));
}

#[test]
fn connections_of_one_configuration_resume() {
    let issuer = Issuer::new();
    let server = site(&issuer);
    let config = connector(&client(&issuer.authority_file()));
    handshake(&config, &server, "partner.test").unwrap();
    let again = handshake(&config, &server, "partner.test").unwrap();
    assert_eq!(again.client.handshake_kind(), Some(HandshakeKind::Resumed));
}

#[test]
fn an_identity_is_shown_and_read_again_when_its_files_change() {
    let issuer = Issuer::new();
    let mut guarded = listener(&[issuer.issue("site", &["partner.test"])]);
    guarded.client_auth = ClientAuth::Require {
        authority: issuer.authority_file(),
    };
    let server = server_config(&guarded).unwrap();
    let identity = issuer.issue("gateway", &["gateway.test"]);
    let settings = ClientSettings {
        identity: Some(identity.clone()),
        ..client(&issuer.authority_file())
    };
    let tls = ClientTls::load(settings, &Arc::default()).unwrap();
    let first = tls.config();
    let connected = handshake(&first, &server, "partner.test").unwrap();
    let seen = connected.server.peer_certificates().unwrap();
    assert_eq!(seen[0], leaf(&identity));
    assert_eq!(tls.reload_changed(), None);

    issuer.issue("gateway", &["gateway.test"]);
    assert!(matches!(
        tls.reload_changed(),
        Some(FileChange::Replaced { .. })
    ));
    assert!(!Arc::ptr_eq(&first, &tls.config()));
    let connected = handshake(&tls.config(), &server, "partner.test").unwrap();
    let seen = connected.server.peer_certificates().unwrap();
    assert_eq!(seen[0], leaf(&identity));

    let second = tls.config();
    issuer.write("gateway.key", "lost");
    assert!(matches!(
        tls.reload_changed(),
        Some(FileChange::Kept { .. })
    ));
    assert!(Arc::ptr_eq(&second, &tls.config()));
}

#[test]
fn a_bad_identity_or_authority_names_its_file() {
    let issuer = Issuer::new();
    let system = SystemRoots::default();
    let mut settings = client(&issuer.authority_file());
    settings.identity = Some(issuer.paths("missing"));
    let error = client_config(&settings, &system).err().unwrap();
    assert_eq!(error.path, Some(issuer.path("missing.pem")));

    let settings = client(&issuer.path("no-ca.pem"));
    let error = client_config(&settings, &system).err().unwrap();
    assert_eq!(error.path, Some(issuer.path("no-ca.pem")));
}

#[test]
fn what_is_no_name_is_refused_before_a_connection() {
    assert!(upstream_name("partner.test").is_ok());
    assert!(upstream_name("::1").is_ok());
    for bad in [
        "",
        "a b",
        "partner.test:443",
        "http://partner.test",
        "ü.test",
    ] {
        assert!(upstream_name(bad).is_err(), "{bad}");
    }
}
