//! Writing XML answers.

use std::fmt::Display;

use quick_xml::escape::escape;

/// XML elements, one after the other.
#[derive(Debug, Clone, Default)]
pub struct Xml(String);

impl Xml {
    /// Nothing yet.
    pub fn new() -> Xml {
        Xml::default()
    }

    /// An element with a text.
    pub fn text(&mut self, name: &str, value: impl Display) -> &mut Xml {
        let value = value.to_string();
        self.0
            .push_str(&format!("<{name}>{}</{name}>", escape(value.as_str())));
        self
    }

    /// An element with a text, where there is one.
    pub fn optional(&mut self, name: &str, value: Option<impl Display>) -> &mut Xml {
        if let Some(value) = value {
            self.text(name, value);
        }
        self
    }

    /// An element with elements in it.
    pub fn node(&mut self, name: &str, content: impl FnOnce(&mut Xml)) -> &mut Xml {
        self.0.push_str(&format!("<{name}>"));
        content(self);
        self.0.push_str(&format!("</{name}>"));
        self
    }

    /// A list as EC2 writes it: each entry an `item`.
    pub fn list<T>(
        &mut self,
        name: &str,
        items: impl IntoIterator<Item = T>,
        content: impl Fn(&mut Xml, T),
    ) -> &mut Xml {
        self.node(name, |xml| {
            for item in items {
                xml.node("item", |xml| content(xml, item));
            }
        })
    }

    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// The document of an EC2 answer.
pub fn ec2_document(operation: &str, request_id: &str, content: &Xml) -> String {
    format!(
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n\
         <{operation}Response xmlns=\"http://ec2.amazonaws.com/doc/2016-11-15/\">\
         <requestId>{request_id}</requestId>{}</{operation}Response>",
        content.as_str()
    )
}
