//! Behaviours a route adds to an exchange: one file each.
//!
//! A filter sees message heads and a [`Context`], never a socket, so it works the same on every protocol. Each file
//! has, in this order: the settings as an operator writes them, `Settings::build`, the filter, its tests. To add one,
//! write its file, a variant of [`Filter`] and its match arms here.

mod chain;
mod context;
mod edits;
mod escape;
mod names;
pub mod redirect;
pub mod request_headers;
pub mod request_id;
pub mod respond;
pub mod response_headers;
pub mod rewrite;
mod setting;
mod target;
mod template;
#[cfg(test)]
mod trial;
mod variable;

use crate::http::{RequestHead, ResponseHead};

pub use chain::{Chain, Flow, Reply};
pub use context::{CaptureView, Context, Original, TlsFacts};
pub use names::is_field_name;
pub use setting::{RouteShape, SettingError};
pub use template::{Phase, Template, TemplateError};

/// One behaviour, ready to run. State that outlives a reload is shared by the variant that has it.
#[derive(Clone, Debug)]
pub enum Filter {
    /// Changes the fields of the request.
    RequestHeaders(request_headers::RequestHeaders),
    /// Changes the fields of the response.
    ResponseHeaders(response_headers::ResponseHeaders),
    /// Changes path, query and host of the request.
    Rewrite(rewrite::Rewrite),
    /// Gives the exchange an identity.
    RequestId(request_id::RequestId),
}

impl Filter {
    /// The word by which a configuration names the filter.
    #[must_use]
    pub const fn kind(&self) -> &'static str {
        match self {
            Self::RequestHeaders(_) => "request_headers",
            Self::ResponseHeaders(_) => "response_headers",
            Self::Rewrite(_) => "rewrite",
            Self::RequestId(_) => "request_id",
        }
    }

    /// Checks that the route has whatever the filter refers to.
    pub fn check(&self, route: &RouteShape<'_>) -> Result<(), SettingError> {
        match self {
            Self::RequestHeaders(filter) => filter.check(route),
            Self::ResponseHeaders(filter) => filter.check(route),
            Self::Rewrite(filter) => filter.check(route),
            Self::RequestId(_) => Ok(()),
        }
    }

    const fn acts_on_request(&self) -> bool {
        match self {
            Self::RequestHeaders(_) | Self::Rewrite(_) | Self::RequestId(_) => true,
            Self::ResponseHeaders(_) => false,
        }
    }

    const fn acts_on_response(&self) -> bool {
        match self {
            Self::ResponseHeaders(_) | Self::RequestId(_) => true,
            Self::RequestHeaders(_) | Self::Rewrite(_) => false,
        }
    }

    fn on_request(&self, head: &mut RequestHead, cx: &mut Context<'_>) -> Flow {
        match self {
            Self::RequestHeaders(filter) => filter.on_request(head, cx),
            Self::ResponseHeaders(_) => Flow::Continue,
            Self::Rewrite(filter) => filter.on_request(head, cx),
            Self::RequestId(filter) => filter.on_request(head, cx),
        }
    }

    fn on_response(&self, request: &RequestHead, head: &mut ResponseHead, cx: &mut Context<'_>) {
        match self {
            Self::RequestHeaders(_) | Self::Rewrite(_) => {}
            Self::ResponseHeaders(filter) => filter.on_response(request, head, cx),
            Self::RequestId(filter) => filter.on_response(head, cx),
        }
    }
}
