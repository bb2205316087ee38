//! `portcullis explain`: which route takes a request, why the others do not, and where it goes.

mod decision;
mod request;
mod text;
mod toml;

use std::{
    io,
    net::{IpAddr, Ipv4Addr},
    path::PathBuf,
    sync::Arc,
};

use clap::Args;

use super::{Console, Exit, check};
use crate::gateway::Fault;
use request::{Header, Url};

/// Explain what becomes of a request.
///
/// Reads the configuration and says which route wins, why each of the others does not, which filters the request
/// passes, and the upstream with its endpoints. The request is read as one from the wire would be. Nothing is sent.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  portcullis explain --config conf/portcullis.toml GET https://api.example.com/v1/users/7
  portcullis explain -c gateway.toml POST http://localhost/v1/orders -H 'x-tier: gold'
  portcullis explain -c gateway.toml GET http://localhost/internal --client 10.1.2.3")]
pub(super) struct Explain {
    /// The configuration file.
    #[arg(short, long, value_name = "FILE")]
    config: PathBuf,
    /// The method, such as GET.
    method: String,
    /// The whole URL, from http:// or https:// on.
    url: Url,
    /// A header field; may be given more than once.
    #[arg(short = 'H', long = "header", value_name = "NAME: VALUE")]
    headers: Vec<Header>,
    /// The address of the client.
    #[arg(long, value_name = "IP", default_value_t = IpAddr::V4(Ipv4Addr::LOCALHOST))]
    client: IpAddr,
}

impl Explain {
    pub(super) fn execute(self, console: &mut Console) -> io::Result<Exit> {
        let (checked, diagnostics) = check::load(&self.config);
        let Some((config, snapshot)) = checked else {
            console.print_error(&diagnostics.to_string())?;
            return Ok(Exit::Refused);
        };
        let snapshot = Arc::new(snapshot);
        let explained = request::read(&self.method, &self.url, &self.headers)
            .map_err(Fault::Request)
            .and_then(|head| {
                let secure = self.url.is_secure();
                let decision = decision::decide(&snapshot, &head, self.client, secure)?;
                Ok(text::explanation(
                    &config,
                    &snapshot.router,
                    &head,
                    &decision,
                ))
            });
        console.print(&explained.unwrap_or_else(text::refusal))?;
        Ok(Exit::Done)
    }
}
