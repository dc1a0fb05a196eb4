//! A publisher, a customer and a stranger.

use std::process::Command;
use std::time::{Duration, SystemTime};

use alpine_ami::sandbox::machines::InstanceMode;
use serde_json::{Value, json};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use crate::publish::house::{House, REGIONS};
use crate::sandbox::client::{Client, Expect as _};
use crate::sandbox::place::{CUSTOMER, PUBLISHER, Place};
use crate::sandbox::things;
use crate::support::Ended;

/// Another account, which can name its AMIs as it likes.
pub const STRANGER: &str = "333333333333";

/// A publisher with customers.
pub struct Shop {
    pub house: House,
}

impl Shop {
    /// Nothing is published yet.
    pub fn new() -> Shop {
        let place = Place::with(|config| {
            let stranger = ("stranger".to_owned(), STRANGER.parse().expect("an account"));
            config.accounts.push(stranger);
            // Launches are tried, and never made.
            config.instances = InstanceMode::Process;
            config.program = Some(env!("CARGO_BIN_EXE_alpine-ami").into());
        });
        place.limit("rates", json!("unlimited"));
        Shop {
            house: House::in_place(place),
        }
    }

    /// Publishes a release of `base` in the first two Regions, and shares it with the customer. Its
    /// AMIs, in the order of their Regions.
    pub fn sell(&self) -> [String; 2] {
        let folder = self.house.image("one", &[(0, 1)]);
        let published = self.house.publish(&folder, &[]);
        [REGIONS[0], REGIONS[1]].map(|region| {
            let ami = published["regions"][region]["ami"].as_str();
            let ami = ami.expect("an AMI").to_owned();
            self.share(&self.house.client(region), &ami);
            ami
        })
    }

    /// Lets the customer launch.
    pub fn share(&self, owner: &Client, ami: &str) {
        things::launch_permission(owner, ami, "Add", CUSTOMER).done("a permission");
    }

    /// Registers an AMI of a name and shares it with the customer.
    pub fn offer(&self, owner: &Client, name: &str) -> String {
        let key = (owner.keys == self.house.client(REGIONS[0]).keys)
            .then(|| self.house.keys[owner.region.as_str()].as_str());
        let snapshot = things::snapshot(owner, &[(0, things::block(1))], key);
        let ami = things::image(owner, name, &snapshot);
        self.share(owner, &ami);
        ami
    }

    /// Has an AMI of the publisher's be deprecated now.
    pub fn deprecate(&self, region: &str, ami: &str) {
        let soon = SystemTime::now() + Duration::from_secs(600);
        let soon = OffsetDateTime::from(soon).replace_nanosecond(0);
        let soon = soon.expect("a time").format(&Rfc3339).expect("a time");
        let client = self.house.client(region);
        let params = [("ImageId", ami), ("DeprecateAt", soon.as_str())];
        client.ec2("EnableImageDeprecation", &params).done("a date");
        // The moment that it is rounded to is a minute away at most.
        self.house.place.advance(700);
    }

    /// Lets the customer use the key of a Region; with `grants`, let Auto Scaling do so too.
    pub fn open_key(&self, region: &str, grants: bool) {
        let customer = json!({ "AWS": format!("arn:aws:iam::{CUSTOMER}:root") });
        let role = auto_scaling_role();
        let mut statements = vec![
            json!({
                "Sid": "owner", "Effect": "Allow", "Action": "kms:*", "Resource": "*",
                "Principal": { "AWS": format!("arn:aws:iam::{PUBLISHER}:root") }
            }),
            json!({
                "Sid": "use", "Effect": "Allow", "Principal": customer, "Resource": "*",
                "Action": ["kms:DescribeKey", "kms:Decrypt", "kms:ReEncrypt*", "kms:GenerateDataKey*"]
            }),
            json!({
                "Sid": "volumes", "Effect": "Allow", "Principal": customer, "Resource": "*",
                "Action": "kms:CreateGrant",
                "Condition": { "Bool": { "kms:GrantIsForAWSResource": "true" } }
            }),
        ];
        if grants {
            statements.push(json!({
                "Sid": "scaling", "Effect": "Allow", "Principal": customer, "Resource": "*",
                "Action": "kms:CreateGrant",
                "Condition": { "StringEquals": { "kms:GranteePrincipal": role } }
            }));
        }
        let policy = json!({ "Version": "2012-10-17", "Statement": statements });
        let body = json!({
            "KeyId": self.house.keys[region], "PolicyName": "default", "Policy": policy.to_string()
        });
        let client = self.house.client(region);
        client.kms("PutKeyPolicy", body).done("a policy");
    }

    /// The program as the customer, without any configuration.
    pub fn customer(&self) -> Command {
        let keys = self.house.place.customer().keys;
        let home = self.house.folder().join("customer");
        std::fs::create_dir_all(&home).expect("a folder");
        let mut command = self.house.program();
        command
            .current_dir(&home)
            .env("HOME", &home)
            .env("AWS_ACCESS_KEY_ID", keys.id)
            .env("AWS_SECRET_ACCESS_KEY", keys.secret);
        command
    }

    /// Runs `list` as the customer.
    pub fn list(&self, args: &[&str]) -> Ended {
        let output = self.customer().arg("list").args(args).output();
        Ended::from(output.expect("it starts"))
    }

    /// What `list` says as the customer, in JSON.
    #[track_caller]
    pub fn json(&self, args: &[&str]) -> Value {
        let printed = self.list(&[args, &["--format", "json"]].concat()).done();
        serde_json::from_str(&printed).expect("JSON")
    }

    /// Runs `list` in a session of a role of the customer's that may do what this policy says.
    pub fn confined(&self, policy: &Value, args: &[&str]) -> Ended {
        let place = &self.house.place;
        place.control("PUT", "policies/least?account=customer", policy.clone());
        let role = format!("arn:aws:iam::{CUSTOMER}:role/least");
        let params = [("RoleArn", role.as_str()), ("RoleSessionName", "test")];
        let answer = place
            .customer()
            .sts("AssumeRole", &params)
            .done("a session");
        let part = |name: &str| {
            answer
                .text(&format!("AssumeRoleResult/Credentials/{name}"))
                .to_owned()
        };
        let output = self
            .customer()
            .env("AWS_ACCESS_KEY_ID", part("AccessKeyId"))
            .env("AWS_SECRET_ACCESS_KEY", part("SecretAccessKey"))
            .env("AWS_SESSION_TOKEN", part("SessionToken"))
            .arg("list")
            .args(args)
            .output();
        Ended::from(output.expect("it starts"))
    }
}

/// The role that the customer's Auto Scaling launches as.
pub fn auto_scaling_role() -> String {
    format!(
        "arn:aws:iam::{CUSTOMER}:role/aws-service-role/autoscaling.amazonaws.com/AWSServiceRoleForAutoScaling"
    )
}

/// The ids of a list.
pub fn ids(listed: &Value) -> Vec<&str> {
    let images = listed["images"].as_array().expect("images");
    let ids = images.iter().map(|image| image["ami"].as_str());
    ids.map(|id| id.expect("an id")).collect()
}
