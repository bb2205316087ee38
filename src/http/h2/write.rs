//! The fields of a head or of trailers, as HTTP/2 may carry them.

use super::super::connection::is_connection_specific;
use super::super::fields::{Field, Fields, Known, Origin};
use super::super::grammar::{is_token, repair_value};
use super::super::hpack::write_field;

/// Appends the fields that are `wanted` and that HTTP/2 knows. What a filter made outside of the grammar is repaired: a
/// field whose name is no token is left out, control bytes in a value become spaces.
pub(super) fn write_fields(
    fields: &Fields,
    out: &mut Vec<u8>,
    wanted: impl Fn(&Field<'_>) -> bool,
) {
    for (field, origin) in fields.iter_with_origin() {
        if is_connection_specific(field.known)
            || field.known == Known::Http2Settings
            || !wanted(&field)
        {
            continue;
        }
        let secret = origin == Origin::Secret;
        match origin {
            // The one value that it may have, in the one spelling that every reader knows.
            _ if field.known == Known::Te => {
                let value = b"trailers";
                write_field(Field { value, ..field }, secret, out);
            }
            Origin::Parsed | Origin::Secret => write_field(field, secret, out),
            Origin::Composed => {
                if is_token(field.name) {
                    let value = &*repair_value(field.value);
                    write_field(Field { value, ..field }, secret, out);
                }
            }
        }
    }
}
