//! Which sessions resume, and which never do.

use rustls::{CertificateError, Error, HandshakeKind};

use super::super::testing::{
    Connected, Failed, Issuer, careless, handshake, leaf, listener, speaking,
};
use super::super::{ClientAuth, FileChange, TlsVersion};
use super::{ServerTls, server_config};

const VERSIONS: [TlsVersion; 2] = [TlsVersion::Tls12, TlsVersion::Tls13];

fn resumed(connected: &Connected) -> bool {
    let kinds = [
        connected.client.handshake_kind(),
        connected.server.handshake_kind(),
    ];
    assert_eq!(kinds[0], kinds[1]);
    kinds[0] == Some(HandshakeKind::Resumed)
}

fn refused_client(failed: Result<Connected, Box<Failed>>) -> Option<Error> {
    failed.err().and_then(|failed| failed.server)
}

#[test]
fn a_session_resumes_with_the_configuration_that_began_it() {
    let issuer = Issuer::new();
    issuer.issue("alice", &["alice.test"]);
    let mut settings = listener(&[issuer.issue("site", &["example.com"])]);
    settings.client_auth = ClientAuth::Require {
        authority: issuer.authority_file(),
    };
    for version in VERSIONS {
        let server = server_config(&settings).unwrap();
        let client = speaking(version, &issuer, Some("alice"));
        assert!(!resumed(
            &handshake(&client, &server, "example.com").unwrap()
        ));
        let again = handshake(&client, &server, "example.com").unwrap();
        assert!(resumed(&again), "{version:?}");
        let seen = again.server.peer_certificates().unwrap();
        assert_eq!(seen[0], leaf(&issuer.paths("alice")));
    }
}

#[test]
fn case_62_a_ticket_of_one_configuration_is_nothing_to_another() {
    let issuer = Issuer::new();
    let mut settings = listener(&[issuer.issue("site", &["example.com"])]);
    for version in VERSIONS {
        settings.client_auth = ClientAuth::Off;
        let open = server_config(&settings).unwrap();
        let same_again = server_config(&settings).unwrap();
        settings.client_auth = ClientAuth::Require {
            authority: issuer.authority_file(),
        };
        let guarded = server_config(&settings).unwrap();

        let client = speaking(version, &issuer, None);
        handshake(&client, &open, "example.com").unwrap();
        assert!(resumed(&handshake(&client, &open, "example.com").unwrap()));
        let failed = handshake(&client, &guarded, "example.com");
        assert_eq!(
            refused_client(failed),
            Some(Error::NoCertificatesPresented),
            "{version:?}"
        );
        handshake(&client, &open, "example.com").unwrap();
        assert!(!resumed(
            &handshake(&client, &same_again, "example.com").unwrap()
        ));
    }
}

#[test]
fn case_62_the_keys_of_tickets_are_replaced() {
    let issuer = Issuer::new();
    let settings = listener(&[issuer.issue("site", &["example.com"])]);
    let ticketer = &server_config(&settings).unwrap().ticketer;
    assert!(ticketer.enabled());
    // Keys are made anew after half of the time that tickets are good for, and with the second change they are gone.
    assert_eq!(ticketer.lifetime(), 12 * 60 * 60);
}

#[test]
fn case_62_a_changed_client_authority_ends_the_sessions_of_the_old_one() {
    for version in VERSIONS {
        let issuer = Issuer::new();
        let successor = Issuer::stranger();
        issuer.issue("alice", &["alice.test"]);
        issuer.write("clients.pem", &issuer.authority_pem());
        let authority = issuer.path("clients.pem");
        let mut settings = listener(&[issuer.issue("site", &["example.com"])]);
        settings.client_auth = ClientAuth::Require {
            authority: authority.clone(),
        };
        let tls = ServerTls::load(settings).unwrap();
        let client = speaking(version, &issuer, Some("alice"));
        handshake(&client, &tls.config(), "example.com").unwrap();
        assert_eq!(tls.reload_changed(), []);
        assert!(resumed(
            &handshake(&client, &tls.config(), "example.com").unwrap()
        ));

        // The same content again is no change.
        issuer.write("clients.pem", &issuer.authority_pem());
        assert_eq!(tls.reload_changed(), []);
        assert!(resumed(
            &handshake(&client, &tls.config(), "example.com").unwrap()
        ));

        issuer.write("clients.pem", "nothing");
        assert!(matches!(
            tls.reload_changed().as_slice(),
            [FileChange::Kept { .. }]
        ));
        assert!(resumed(
            &handshake(&client, &tls.config(), "example.com").unwrap()
        ));

        issuer.write("clients.pem", &successor.authority_pem());
        let files = vec![authority];
        assert_eq!(tls.reload_changed(), [FileChange::Replaced { files }]);
        assert_eq!(
            refused_client(handshake(&client, &tls.config(), "example.com")),
            Some(Error::InvalidCertificate(CertificateError::UnknownIssuer))
        );
    }
}

#[test]
fn case_66_early_data_is_never_accepted() {
    let issuer = Issuer::new();
    let server = server_config(&listener(&[issuer.issue("site", &["example.com"])])).unwrap();
    let client = careless(|config| config.enable_early_data = true);
    handshake(&client, &server, "example.com").unwrap();
    let again = handshake(&client, &server, "example.com").unwrap();
    assert!(resumed(&again));
    assert!(!again.client.is_early_data_accepted());
    assert_eq!(server.max_early_data_size, 0);
}
