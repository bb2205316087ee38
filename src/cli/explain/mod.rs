//! `portcullis explain`: which route takes a request, why the others do not, and where it goes.

mod request;
mod text;

use std::{
    io,
    net::{IpAddr, Ipv4Addr},
    path::PathBuf,
};

use clap::Args;

use super::{Console, Exit, check};
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
    /// The whole URL, such as https://api.example.com/v1/users/7.
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
        let answer = match request::read(&self.method, &self.url, &self.headers, self.client) {
            Ok(asked) => text::explanation(&config, &snapshot.router, &asked),
            Err(error) => format!(
                "Refused before any route is looked at: {error}.\n\
                 The client is answered {}, with the reason {} in the log and the metrics.\n",
                error.status(),
                error.reason()
            ),
        };
        console.print(&answer)?;
        Ok(Exit::Done)
    }
}
