use std::collections::HashSet;

use proptest::prelude::*;
use serde_json::{Value, json};
use shop_contract::config::ShopConfig;

use super::*;
use crate::fixtures::{least, most, on_aws, on_azure, settings, validated};

fn children(spec: Value) -> Vec<Child> {
    let shop = validated(spec);
    let config = render_config(&shop, true).expect("renders");
    build(&shop, &config, &settings())
}

/// Every object as JSON, so that what a test says of one holds for all.
fn objects(spec: Value) -> Vec<Value> {
    children(spec).iter().map(|child| serde_json::to_value(child).expect("JSON")).collect()
}

fn pods(spec: Value) -> Vec<Value> {
    objects(spec)
        .into_iter()
        .filter(|object| object["kind"] == "Deployment")
        .map(|object| object["spec"]["template"]["spec"].clone())
        .collect()
}

#[test]
fn a_shop_that_says_the_least_consists_of_these_objects() {
    insta::assert_yaml_snapshot!(objects(least()));
}

#[test]
fn a_shop_that_says_everything_consists_of_these_objects() {
    insta::assert_yaml_snapshot!(objects(most()));
}

#[test]
fn a_shop_on_aws_with_a_role_consists_of_these_objects() {
    insta::assert_yaml_snapshot!(objects(on_aws()));
}

#[test]
fn a_shop_on_azure_with_a_secret_consists_of_these_objects() {
    insta::assert_yaml_snapshot!(objects(on_azure()));
}

#[test]
fn a_shop_in_a_cloud_has_no_volume_and_may_run_on_any_node() {
    for spec in [on_aws(), on_azure()] {
        assert!(children(spec.clone()).iter().all(|child| child.kind() != ChildKind::PersistentVolumeClaim));
        for pod in pods(spec) {
            assert!(pod.get("affinity").is_none());
            assert_eq!(pod["topologySpreadConstraints"].as_array().map(Vec::len), Some(2));
        }
    }
}

#[test]
fn a_shop_uses_the_other_clouds_whose_settings_stand_beside() {
    let mut spec = on_azure();
    spec["storage"]["aws"]["endpoint"] = json!({ "queue": "https://aws.example:4566", "caSecretName": "aws-ca" });
    spec["storage"]["aws"]["credentials"] = json!({ "secretName": "corner-aws" });
    for provider in ["Azure", "Embedded"] {
        spec["storage"]["provider"] = json!(provider);
        let shop = validated(spec.clone());
        let config = ShopConfig::parse(&render_config(&shop, false).expect("renders").text).expect("parses");
        assert!(config.storage.aws.is_some() && config.storage.azure.is_some());
        assert_eq!(config.storage.provider.to_string(), provider);
        for pod in pods(spec.clone()) {
            let volumes = pod["volumes"].as_array().expect("volumes").clone();
            let secret = |volume: &str| {
                volumes.iter().find(|found| found["name"] == volume).map(|found| found["secret"].clone()).expect(volume)
            };
            for (volume, name) in [("aws", "corner-aws"), ("aws-ca", "aws-ca")] {
                assert_eq!(secret(volume)["secretName"], name);
                assert_eq!(secret(volume)["optional"], true, "the shop starts without the second way out");
            }
            assert_eq!(secret("azure").get("optional").is_some(), provider == "Embedded");
            let mounts = pod["containers"][0]["volumeMounts"].as_array().expect("mounts").clone();
            assert!(mounts.iter().any(|mount| mount["mountPath"] == "/var/run/secrets/cloudshop.dev/aws"));
            assert_eq!(mounts.iter().any(|mount| mount["name"] == "data"), provider == "Embedded");
        }
        let policy = objects(spec.clone())
            .into_iter()
            .find(|object| object["kind"] == "NetworkPolicy" && object["metadata"]["name"] == "corner-web")
            .expect("a policy");
        let rules = policy["spec"]["egress"].as_array().expect("rules").clone();
        assert_eq!(rules.len(), 3, "to workers, to DNS and to both clouds");
        let ports: Vec<_> = rules[2]["ports"].as_array().expect("ports").iter().map(|port| &port["port"]).collect();
        assert_eq!(ports, [443, 4566, 10000, 10001]);
    }
}

#[test]
fn pods_mount_the_volume_beside_each_other_for_as_long_as_a_disk_has_a_part_in_a_switch() {
    let affinity = "/affinity/podAffinity/requiredDuringSchedulingIgnoredDuringExecution/0/labelSelector/matchLabels";
    for (home, wanted) in [("Azure", "Embedded"), ("Embedded", "Azure")] {
        let mut spec = on_azure();
        spec["storage"]["provider"] = json!(wanted);
        let before = json!({ "provider": home });
        let shop = validated(spec.clone()).at_home(&serde_json::from_value(before).expect("a status"));
        let config = render_config(&shop, false).expect("renders");
        let parsed = ShopConfig::parse(&config.text).expect("parses").storage;
        assert_eq!(parsed.provider.to_string(), home);
        assert!(parsed.azure.is_some() && parsed.embedded.is_some());
        let children = build(&shop, &config, &settings());
        assert!(children.iter().any(|child| child.kind() == ChildKind::PersistentVolumeClaim));
        for child in children.iter().filter(|child| child.kind() == ChildKind::Deployment) {
            let template = serde_json::to_value(child).expect("JSON")["spec"]["template"].take();
            assert_eq!(template["metadata"]["labels"]["cloudshop.dev/volume"], "true");
            let pod = &template["spec"];
            let mounts = pod["containers"][0]["volumeMounts"].as_array().expect("mounts");
            assert!(mounts.iter().any(|mount| mount["mountPath"] == "/var/lib/cloudshop"));
            assert!(pod.get("topologySpreadConstraints").is_none());
            let beside = pod.pointer(affinity).expect("they run beside each other");
            assert_eq!(beside.get("cloudshop.dev/volume").is_some(), home == "Azure", "{beside}");
        }
    }
}

#[test]
fn a_cloud_that_cannot_be_meant_is_refused_also_where_it_is_not_the_home() {
    let mut spec = on_azure();
    spec["storage"]["aws"]["bucket"] = json!("Corner");
    let refused = crate::validate::validate(&crate::fixtures::shop(spec)).expect_err("refused").to_string();
    assert!(refused.contains("'Corner' is no bucket"), "{refused}");
}

#[test]
fn pods_of_an_azure_identity_are_marked_for_its_token() {
    let mut spec = on_azure();
    let client = "12345678-1234-1234-1234-123456789012";
    spec["storage"]["azure"]["credentials"] = json!({ "workloadIdentity": { "clientId": client } });
    for object in objects(spec) {
        match object["kind"].as_str() {
            Some("ServiceAccount") => {
                let annotations = &object["metadata"]["annotations"];
                assert_eq!(annotations["azure.workload.identity/client-id"], client);
                let role = "arn:aws:iam::123456789012:role/corner";
                assert_eq!(annotations["eks.amazonaws.com/role-arn"], role, "of the other cloud");
            }
            Some("Deployment") => {
                let labels = &object["spec"]["template"]["metadata"]["labels"];
                assert_eq!(labels["azure.workload.identity/use"], "true");
                let selector = &object["spec"]["selector"]["matchLabels"];
                assert!(selector.get("azure.workload.identity/use").is_none(), "a selector can never change");
            }
            _ => {}
        }
    }
}

#[test]
fn no_policy_lets_a_pod_ask_a_node_for_credentials() {
    let mut with_pod_identity = on_aws();
    with_pod_identity["storage"]["aws"]["credentials"] = json!({ "workloadIdentity": {} });
    for (spec, agents) in [(on_aws(), 0), (on_azure(), 0), (with_pod_identity, 2)] {
        let blocks: Vec<Value> = objects(spec)
            .into_iter()
            .filter(|object| object["kind"] == "NetworkPolicy" && object["metadata"]["name"] == "corner-web")
            .flat_map(|object| object["spec"]["egress"].as_array().expect("rules").clone())
            .flat_map(|rule| rule["to"].as_array().cloned().unwrap_or_default())
            .filter_map(|peer| peer.get("ipBlock").cloned())
            .collect();
        let wide: Vec<_> = blocks.iter().filter(|block| block.get("except").is_some()).collect();
        assert_eq!(
            wide,
            [
                &json!({ "cidr": "0.0.0.0/0", "except": ["169.254.0.0/16"] }),
                &json!({ "cidr": "::/0", "except": ["fd00:ec2::/32"] })
            ]
        );
        assert_eq!(blocks.len() - wide.len(), agents, "addresses of the agent of EKS Pod Identity");
    }
}

#[test]
fn nobody_but_the_autoscaler_sets_the_number_of_pods() {
    for object in objects(most()) {
        assert!(object["spec"].get("replicas").is_none(), "{object}");
    }
}

#[test]
fn everything_but_the_claim_goes_with_the_shop() {
    for child in children(most()) {
        let object = serde_json::to_value(&child).expect("JSON");
        let owned = object["metadata"].get("ownerReferences").is_some();
        assert_eq!(
            owned,
            child.kind() != ChildKind::PersistentVolumeClaim,
            "{} {}",
            child.kind().as_str(),
            child.name()
        );
    }
}

#[test]
fn no_two_objects_of_a_kind_have_the_same_name() {
    let all = children(most());
    let different: HashSet<_> = all.iter().map(|child| (child.kind(), child.name())).collect();
    assert_eq!(different.len(), all.len());
}

#[test]
fn pods_pass_the_restricted_pod_security_level_and_hold_no_token() {
    for pod in [most(), on_aws(), on_azure()].into_iter().flat_map(pods) {
        assert_eq!(pod["automountServiceAccountToken"], false);
        let context = &pod["securityContext"];
        assert_eq!(context["runAsNonRoot"], true);
        assert_eq!(context["runAsUser"], 65532);
        assert_eq!(context["seccompProfile"]["type"], "RuntimeDefault");
        for container in pod["containers"].as_array().expect("containers") {
            let context = &container["securityContext"];
            assert_eq!(context["allowPrivilegeEscalation"], false);
            assert_eq!(context["readOnlyRootFilesystem"], true);
            assert_eq!(context["capabilities"], json!({ "drop": ["ALL"] }));
        }
        for volume in pod["volumes"].as_array().expect("volumes") {
            let allowed = ["projected", "persistentVolumeClaim", "emptyDir", "secret"];
            assert!(allowed.iter().any(|kind| volume.get(kind).is_some()), "{volume}");
        }
    }
}

#[test]
fn pods_have_no_cpu_limit_unless_one_is_asked_for() {
    for pod in pods(least()) {
        let resources = &pod["containers"][0]["resources"];
        assert!(resources["limits"].get("cpu").is_none());
        assert!(resources["limits"].get("memory").is_some());
        assert!(resources["requests"].get("cpu").is_some());
    }
}

#[test]
fn a_default_request_gives_way_to_a_lower_limit() {
    let spec = json!({
        "storage": { "provider": "Embedded" },
        "worker": { "resources": { "limits": { "memory": "96Mi", "cpu": "50m" } } },
    });
    let worker = &pods(spec)[0];
    let resources = &worker["containers"][0]["resources"];
    assert_eq!(resources["requests"], json!({ "memory": "96Mi", "cpu": "50m" }));
}

#[test]
fn withdrawing_the_permission_to_set_up_the_store_replaces_no_pod() {
    let shop = validated(least());
    let (before, after) = (render_config(&shop, true).expect("renders"), render_config(&shop, false).expect("renders"));
    assert_ne!(before.text, after.text);
    let deployments = |config: &RenderedConfig| {
        let mut children = build(&shop, config, &settings());
        children.retain(|child| child.kind() == ChildKind::Deployment);
        children
    };
    assert_eq!(deployments(&before), deployments(&after));
}

#[test]
fn another_config_replaces_the_pods() {
    let digest = |spec| render_config(&validated(spec), false).expect("renders").digest;
    let adopting = json!({ "storage": { "provider": "Embedded", "adoptExisting": true } });
    assert_ne!(digest(least()), digest(adopting));
}

#[test]
fn pods_parse_the_config_they_are_given() {
    for (spec, initialise) in [(least(), true), (most(), false), (on_aws(), true), (on_azure(), false)] {
        let shop = validated(spec);
        let config = ShopConfig::parse(&render_config(&shop, initialise).expect("renders").text).expect("parses");
        assert_eq!(config.shop.uid, shop.uid);
        assert_eq!(config.shop.initialise, initialise);
        assert_eq!(config.shop.adopt_existing, shop.storage.adopt_existing);
        assert_eq!(config.orders.shards, shop.shards);
        assert_eq!(config.catalogue.sample, shop.sample_catalogue);
    }
}

#[test]
fn the_longest_name_of_a_shop_makes_names_that_fit() {
    let mut shop = crate::fixtures::shop(most());
    shop.metadata.name = Some("a".repeat(crate::names::MAX_SHOP_NAME));
    let shop = crate::validate::validate(&shop).expect("valid");
    let config = render_config(&shop, true).expect("renders");
    for child in build(&shop, &config, &settings()) {
        assert!(child.name().len() <= 63, "{}", child.name());
    }
    assert!(format!("{}-0123456789-abcde", shop.names.worker()).len() <= 63, "a pod's host name");
}

/// Specs with anything in every field: what the API server would refuse, too.
fn any_spec() -> impl Strategy<Value = Value> {
    let text = prop_oneof![
        any::<String>().prop_map(Value::from),
        Just(Value::Null),
        Just(json!("1Gi")),
        Just(json!("x.example"))
    ];
    let number = prop_oneof![any::<i64>().prop_map(Value::from), (0_u16..70).prop_map(Value::from), Just(Value::Null)];
    let resources = (text.clone(), text.clone()).prop_map(|(cpu, memory)| {
        json!({ "requests": { "cpu": cpu, "memory": memory }, "limits": { "cpu": memory, "memory": cpu } })
    });
    let autoscaling = (number.clone(), number.clone(), number.clone()).prop_map(
        |(low, high, target)| json!({ "minReplicas": low, "maxReplicas": high, "targetCpuUtilization": target }),
    );
    (number, text.clone(), text, resources, autoscaling, any::<bool>()).prop_map(
        |(shards, size, host, resources, autoscaling, whole)| {
            let mut spec = json!({
                "storage": { "provider": "Embedded", "embedded": { "volumeClaim": { "size": size } } },
                "expose": { "ingress": { "host": host } },
            });
            if whole {
                spec["orders"] = json!({ "shards": shards });
                spec["web"] = json!({ "autoscaling": autoscaling, "resources": resources });
                spec["worker"] = json!({ "autoscaling": autoscaling, "resources": resources });
            }
            spec
        },
    )
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(500))]

    #[test]
    fn no_spec_makes_the_operator_panic(spec in any_spec(), name in any::<String>()) {
        let Ok(spec) = serde_json::from_value(spec) else { return Ok(()) };
        let mut shop = crate::fixtures::shop(least());
        shop.spec = spec;
        if name.len() % 2 == 0 {
            shop.metadata.name = Some(name);
        }
        if let Ok(shop) = crate::validate::validate(&shop) {
            let config = render_config(&shop, true).expect("renders");
            prop_assert!(!build(&shop, &config, &settings()).is_empty());
        }
    }
}
