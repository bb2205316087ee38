//! Changes to the fields of a message: remove, then set, then add.

use super::context::Context;
use super::names;
use super::setting::{RouteShape, SettingError};
use super::template::{Phase, Template};
use crate::http::{Fields, RequestHead, ResponseHead};

/// Changes to the fields of a request or of a response.
#[derive(Clone, Debug)]
pub(super) struct Edits {
    remove: Box<[Box<str>]>,
    set: Box<[Edit]>,
    add: Box<[Edit]>,
}

#[derive(Clone, Debug)]
struct Edit {
    name: Box<str>,
    value: Template,
}

/// The message whose fields are changed.
pub(super) enum Message<'a> {
    Request(&'a mut RequestHead),
    Response(&'a RequestHead, &'a mut ResponseHead),
}

impl Edits {
    pub(super) fn build(
        set: &[(String, String)],
        add: &[(String, String)],
        remove: &[String],
        phase: Phase,
    ) -> Result<Self, SettingError> {
        for (index, (name, _)) in set.iter().enumerate() {
            let same = |other: &String| other.eq_ignore_ascii_case(name);
            if set.iter().skip(index + 1).any(|(other, _)| same(other)) {
                return Err(SettingError::new("set", format!("{name} is set twice")).at(name));
            }
            if remove.iter().any(same) {
                let message =
                    format!("{name} is both set and removed; setting replaces it already");
                return Err(SettingError::new("remove", message).at(name));
            }
        }
        for name in remove {
            names::check("remove", name, phase)?;
        }
        Ok(Self {
            remove: remove.iter().map(|name| Box::from(&**name)).collect(),
            set: build_all("set", set, phase)?,
            add: build_all("add", add, phase)?,
        })
    }

    pub(super) fn check(&self, route: &RouteShape<'_>) -> Result<(), SettingError> {
        for (key, edits) in [("set", &self.set), ("add", &self.add)] {
            for Edit { name, value } in edits {
                value.check(key, route).map_err(|error| error.at(name))?;
            }
        }
        Ok(())
    }

    pub(super) fn apply(&self, message: &mut Message<'_>, cx: &mut Context<'_>) {
        for name in &self.remove {
            message.remove(name);
        }
        for edit in &self.set {
            message.edit(edit, cx, |message, value| {
                message.remove(&edit.name);
                // An empty value is left out: "nothing" is told by the absence of a field.
                if !value.is_empty() {
                    message.fields().push(edit.name.as_bytes(), value);
                }
            });
        }
        for edit in &self.add {
            message.edit(edit, cx, |message, value| {
                if !value.is_empty() {
                    message.fields().push(edit.name.as_bytes(), value);
                }
            });
        }
    }
}

impl Message<'_> {
    fn fields(&mut self) -> &mut Fields {
        match self {
            Self::Request(head) => &mut head.fields,
            Self::Response(_, head) => &mut head.fields,
        }
    }

    fn remove(&mut self, name: &str) {
        match self {
            Self::Request(head) => names::remove_lookalikes(&mut head.fields, name),
            Self::Response(_, head) => head.fields.remove_named(name.as_bytes()),
        }
    }

    /// Calls `change` with the rendered value of the edit.
    fn edit(&mut self, edit: &Edit, cx: &mut Context<'_>, change: impl Fn(&mut Self, &[u8])) {
        if let Some(value) = edit.value.as_literal() {
            return change(self, value.as_bytes());
        }
        let mut value = std::mem::take(cx.scratch);
        value.clear();
        match self {
            Self::Request(head) => edit.value.render(head, None, cx, &mut value),
            Self::Response(request, head) => {
                edit.value.render(request, Some(head), cx, &mut value);
            }
        }
        change(self, value.trim_ascii());
        *cx.scratch = value;
    }
}

fn build_all(
    key: &'static str,
    edits: &[(String, String)],
    phase: Phase,
) -> Result<Box<[Edit]>, SettingError> {
    let build = |(name, value): &(String, String)| {
        names::check(key, name, phase)?;
        let value = Template::parse(value.trim(), phase)
            .map_err(|error| SettingError::template(key, error).at(name))?;
        Ok(Edit {
            name: name.as_str().into(),
            value,
        })
    };
    edits.iter().map(build).collect()
}
