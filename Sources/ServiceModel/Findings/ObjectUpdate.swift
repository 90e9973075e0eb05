internal import Addressing

extension KubernetesObject {
    /// Why it may not replace that older version; nil where it may. Services have rules of their own, of a `ServiceRegistry`.
    package func refusal(replacing old: KubernetesObject?) -> Diagnostic? {
        guard case .endpointSlice(let slice) = body, case .endpointSlice(let before)? = old?.body,
            slice.addressFamily != before.addressFamily
        else { return nil }
        let subject = Subject(
            kind: "EndpointSlice", group: "discovery.k8s.io", name: metadata.name, key: key, location: location)
        let value = slice.addressFamily?.name ?? "FQDN"
        let finding = Finding(
            .invalid, field: "addressType", value: goQuoted(value), detail: "field is immutable",
            hint: "; give the new slice another name", location: location)
        return Diagnostic(finding, of: subject, index: 0)
    }
}
