//! Types that are written, read and described as text.

/// Implements serde and JSON Schema for a type by its `Display` and `FromStr`: one spelling for
/// files, results and messages.
///
/// `text_form!(Type, "Name", { further members of the schema })`, with type parameters in brackets
/// at the end where the type has any.
macro_rules! text_form {
    ($type:ty, $name:literal, { $($schema:tt)* } $(, [$($bound:tt)*])?) => {
        impl<'de, $($($bound)*)?> serde::Deserialize<'de> for $type
        where
            $type: std::str::FromStr<Err: std::fmt::Display>,
        {
            fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                let text = String::deserialize(deserializer)?;
                text.parse().map_err(serde::de::Error::custom)
            }
        }

        impl<$($($bound)*)?> serde::Serialize for $type
        where
            $type: std::fmt::Display,
        {
            fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.collect_str(self)
            }
        }

        impl<$($($bound)*)?> schemars::JsonSchema for $type {
            fn schema_name() -> std::borrow::Cow<'static, str> {
                $name.into()
            }

            fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
                schemars::json_schema!({ "type": "string", $($schema)* })
            }
        }
    };
}

pub(crate) use text_form;
