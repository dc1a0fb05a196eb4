//! A publisher and its four customers: one by its account, one by its organization, one by a unit of
//! another organization, one by a role.

use std::fmt::Write as _;
use std::fs;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::publish::house::{BUCKET, House, REGIONS};
use crate::sandbox::client::{Call, Client, Expect as _, Keys};
use crate::sandbox::place::{CUSTOMER, Place};
use crate::support::Ended;

/// The Regions that releases are in.
pub const PLACES: [&str; 2] = [REGIONS[0], REGIONS[1]];

/// The street.
pub struct Street {
    pub house: House,
    /// By its account.
    pub acme: Client,
    /// By its organization.
    pub globex: Client,
    /// By a unit of an organization that another account manages.
    pub initech: Client,
    /// By a role of an account that is not allowed the key otherwise.
    pub umbrella: Client,
    /// The administrator of that account.
    pub umbrella_admin: Client,
    organization: String,
    unit: String,
    role: String,
}

impl Street {
    /// With instances as the place has them.
    pub fn in_place(place: Place) -> Street {
        let accounts = [
            ("globex", "333333333333"),
            ("initech", "444444444444"),
            ("umbrella", "555555555555"),
            ("holding", "666666666666"),
        ];
        for (name, id) in accounts {
            place.control("POST", "accounts", json!({ "name": name, "id": id }));
        }
        let organization = organization(&place.client("globex"));
        let unit = unit(&place.client("holding"), &place.client("initech"));
        let umbrella_admin = place.client("umbrella");
        let role = "arn:aws:iam::555555555555:role/nodes/launcher";
        let umbrella = assumed(&umbrella_admin, role);
        Street {
            acme: place.customer(),
            globex: place.client("globex"),
            initech: place.client("initech"),
            umbrella,
            umbrella_admin,
            house: House::in_place(place),
            organization,
            unit,
            role: role.to_owned(),
        }
    }

    /// Without machines.
    pub fn new() -> Street {
        Street::in_place(Place::new())
    }

    /// All customers, with their names.
    pub fn customers(&self) -> [(&'static str, &Client); 4] {
        [
            ("acme", &self.acme),
            ("globex", &self.globex),
            ("initech", &self.initech),
            ("umbrella", &self.umbrella),
        ]
    }

    /// Writes the file of customers with these of them, with further lines for each.
    pub fn file(&self, names: &[&str], more: &str) {
        let mut text = "# Who gets what.\n".to_owned();
        for name in names {
            let who = match *name {
                "acme" => format!("accounts = [\"{CUSTOMER}\"]"),
                "globex" => format!("organizations = [\"{}\"]", self.organization),
                "initech" => format!("units = [\"{}\"]", self.unit),
                _ => format!("accounts = [\"555555555555\"]\nroles = [\"{}\"]", self.role),
            };
            // Writing to a string does not fail.
            let _ = write!(
                text,
                "\n[customers.{name}]\n{who}\nchannels = [\"stable\"]\n{more}\n"
            );
        }
        fs::write(self.house.folder().join("customers.toml"), text).expect("written");
    }

    /// A release in [`PLACES`].
    pub fn release(&self, blocks: &[(u32, u8)]) -> Release {
        let name = format!("image-{}", blocks.len());
        let published = self.house.publish(&self.house.image(&name, blocks), &[]);
        Release(published)
    }

    /// Brings a release into the channel `stable`.
    pub fn promote(&self, release: &Release) {
        let args = ["promote", release.id(), "--to", "stable"];
        self.house.run(&args).done();
    }

    /// `share …`.
    pub fn share(&self, args: &[&str]) -> Ended {
        self.house.run(&[&["share"], args].concat())
    }

    /// `share plan`, as JSON, and the exit status.
    #[track_caller]
    pub fn plan(&self, more: &[&str]) -> (i32, Value) {
        let args = [&["plan", "--output", "json"], more].concat();
        let ended = self.share(&args);
        let told = serde_json::from_str(&ended.stdout);
        (
            ended.status,
            told.unwrap_or_else(|_| panic!("{}", ended.stderr)),
        )
    }

    /// `share apply --yes`.
    #[track_caller]
    pub fn apply(&self) -> String {
        self.share(&["apply", "--yes"]).done()
    }

    /// Who has what in a Region: launch and volume permissions of all AMIs, policies and grants of
    /// all keys. Grants without their ids.
    pub fn state(&self, region: &str) -> Value {
        let client = self.house.client(region);
        let mut state = json!({});
        for image in self.house.images(region) {
            let ami = image.text("imageId").to_owned();
            let params = [("ImageId", ami.as_str()), ("Attribute", "launchPermission")];
            let answer = client.ec2("DescribeImageAttribute", &params);
            let answer = answer.done("permissions");
            let mut who: Vec<String> = ["userId", "organizationArn", "organizationalUnitArn"]
                .iter()
                .flat_map(|name| answer.all(name))
                .map(|who| who.to_string())
                .collect();
            who.sort();
            state[ami] = json!(who);
        }
        for snapshot in self.house.snapshots(region) {
            let id = snapshot.text("snapshotId").to_owned();
            let params = [
                ("SnapshotId", id.as_str()),
                ("Attribute", "createVolumePermission"),
            ];
            let answer = client.ec2("DescribeSnapshotAttribute", &params);
            let answer = answer.done("permissions");
            let who: Vec<String> = answer
                .all("userId")
                .iter()
                .map(|who| who.to_string())
                .collect();
            state[id] = json!(who);
        }
        let key = &self.house.keys[region];
        let policy = client.kms(
            "GetKeyPolicy",
            json!({"KeyId": key, "PolicyName": "default"}),
        );
        state["policy"] = policy.done("a policy")["Policy"].clone();
        let grants = client.kms("ListGrants", json!({ "KeyId": key }));
        let grants = grants.done("grants");
        let grants = grants["Grants"].as_array().expect("grants").iter();
        let grantees: Vec<&Value> = grants.map(|grant| &grant["GranteePrincipal"]).collect();
        state["grants"] = json!(grantees);
        state
    }

    /// What all Regions hold, and the policy of the bucket.
    pub fn states(&self) -> Vec<Value> {
        let mut states: Vec<Value> = PLACES.iter().map(|region| self.state(region)).collect();
        states.push(self.bucket_policy().unwrap_or_default());
        states
    }

    /// The policy of the publisher's bucket, if it has one.
    pub fn bucket_policy(&self) -> Option<Value> {
        let call = Call::new("GET", &format!("/{BUCKET}?policy"));
        let answer = self.house.client(REGIONS[0]).s3(&call).ok()?;
        Some(serde_json::from_str(&answer.text()).expect("JSON"))
    }
}

/// What `publish` printed.
pub struct Release(pub Value);

impl Release {
    pub fn id(&self) -> &str {
        self.0["release"].as_str().expect("an id")
    }

    pub fn ami(&self, region: &str) -> &str {
        self.0["regions"][region]["ami"].as_str().expect("an AMI")
    }
}

/// A new organization of an account's; its ARN.
pub fn organization(client: &Client) -> String {
    let made = client.organizations("CreateOrganization", json!({"FeatureSet": "ALL"}));
    let made = made.done("an organization");
    made["Organization"]["Arn"]
        .as_str()
        .expect("an ARN")
        .to_owned()
}

/// A unit below another one, with a member in it; its ARN.
fn unit(manager: &Client, member: &Client) -> String {
    let organize =
        |operation: &str, body: Value| manager.organizations(operation, body).done(operation);
    organization(manager);
    let root = organize("ListRoots", json!({}))["Roots"][0]["Id"].clone();
    let account = json!({"Target": {"Id": "444444444444", "Type": "ACCOUNT"}});
    let invited = organize("InviteAccountToOrganization", account);
    let handshake = json!({"HandshakeId": invited["Handshake"]["Id"]});
    member
        .organizations("AcceptHandshake", handshake)
        .done("a member");
    let made = |parent: &Value, name: &str| {
        let body = json!({"ParentId": parent, "Name": name});
        organize("CreateOrganizationalUnit", body)["OrganizationalUnit"].clone()
    };
    let upper = made(&root, "customers");
    let lower = made(&upper["Id"], "nodes");
    organize(
        "MoveAccount",
        json!({
            "AccountId": "444444444444",
            "SourceParentId": root,
            "DestinationParentId": lower["Id"],
        }),
    );
    // It is in the unit that is shared with, through the one below.
    upper["Arn"].as_str().expect("an ARN").to_owned()
}

/// A session of a role.
pub fn assumed(admin: &Client, role: &str) -> Client {
    let params = [("RoleArn", role), ("RoleSessionName", "launch")];
    let answer = admin.sts("AssumeRole", &params).done("a session");
    let text = |name: &str| {
        let path = format!("AssumeRoleResult/Credentials/{name}");
        answer.text(&path).to_owned()
    };
    Client {
        keys: Keys {
            id: text("AccessKeyId"),
            secret: text("SecretAccessKey"),
            session: Some(text("SessionToken")),
        },
        ..admin.clone()
    }
}

/// The AMIs that a customer sees of those shared with it.
pub fn seen(client: &Client, region: &str) -> Vec<String> {
    let client = client.in_region(region);
    let params = [("ExecutableBy.1", "self")];
    let answer = client.ec2("DescribeImages", &params).done("images");
    let mut seen: Vec<String> = answer
        .all("imageId")
        .iter()
        .map(|id| id.to_string())
        .collect();
    seen.sort();
    seen
}

/// Whether a customer can use a key itself.
pub fn uses(client: &Client, region: &str, key: &str) -> bool {
    let body = json!({"KeyId": key, "KeySpec": "AES_256"});
    let client = client.in_region(region);
    client.kms("GenerateDataKeyWithoutPlaintext", body).is_ok()
}

/// Launches an AMI; whether it comes to run. It is terminated again.
pub fn launches(client: &Client, region: &str, ami: &str) -> bool {
    let client = client.in_region(region);
    let params = [
        ("ImageId", ami),
        ("MinCount", "1"),
        ("MaxCount", "1"),
        ("InstanceType", "t3.micro"),
    ];
    let Ok(launched) = client.ec2("RunInstances", &params) else {
        return false;
    };
    let id = launched.text("instancesSet/item[0]/instanceId").to_owned();
    let begun = Instant::now();
    let state = loop {
        let described = client.ec2("DescribeInstances", &[("InstanceId.1", &id)]);
        let described = described.done("an instance");
        let path = "reservationSet/item[0]/instancesSet/item[0]/instanceState/name";
        match described.text(path) {
            "pending" => assert!(begun.elapsed().as_secs() < 60, "{id} stays pending"),
            state => break state.to_owned(),
        }
        std::thread::sleep(Duration::from_millis(20));
    };
    let ended = client.ec2("TerminateInstances", &[("InstanceId.1", &id)]);
    ended.done("its end");
    state == "running"
}
