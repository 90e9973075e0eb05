package import ServiceModel

/// What became of a Service that was applied.
package enum ServiceVerdict: Hashable, Sendable {
    /// It is in force as it stands here, with what it was given; warnings don't keep it from that.
    case admitted(ServiceManifest, warnings: [Diagnostic])
    /// It changes nothing: the version before it, if there is one, goes on.
    case refused([Diagnostic])
}

/// The Services in force, and the door to them: an API server's create and update.
///
/// Where files are the source there is no old object but this: the last version that was admitted under the same namespace and name.
package struct ServiceRegistry: Sendable {
    package private(set) var services: [ServiceKey: ServiceManifest] = [:]
    /// As they were written, those refused too: what batches compare with.
    package internal(set) var written: [ServiceKey: ServiceManifest] = [:]
    /// Those whose last version was refused.
    package internal(set) var refused: Set<ServiceKey> = []
    /// What is to be said of their last versions; most have nothing here.
    var findings: [ServiceKey: [Diagnostic]] = [:]
    /// Those that are in force and wait for an address of a load balancer, and what had been released when they were last looked at.
    var pending: Set<ServiceKey> = []
    var releasesSeen: UInt64 = 0
    let strictness: Strictness
    /// Whose `loadBalancerClass` is another is left to somebody else.
    let loadBalancerClass: String?

    package init(strictness: Strictness = .ringway, loadBalancerClass: String? = nil) {
        self.strictness = strictness
        self.loadBalancerClass = loadBalancerClass
    }

    /// Takes a Service in, as a new one or in place of an older version: fills in what was left out, has it allocated, validates it.
    /// What is refused leaves no trace, in the allocations neither.
    package mutating func apply(_ manifest: ServiceManifest, allocations: inout Allocations) -> ServiceVerdict {
        let key = manifest.serviceKey
        let old = services[key]
        var new = manifest
        var findings = Findings(subject: manifest.subject, strictness: strictness)
        new.complete(from: old)
        new.validateAddresses(into: &findings)
        if !findings.hasErrors { findings.append(Self.impossible(new, replacing: old, allocations)) }
        guard !findings.hasErrors else { return .refused(findings.diagnostics) }
        var transaction: Allocations.Transaction?
        if var service = new.request {
            do throws(AllocationError) {
                transaction = try allocations.allocate(&service, for: key, uid: manifest.metadata.uid, old: old?.service)
                new.take(service)
            } catch {
                findings.append(Self.findings(error, of: new))
                return .refused(findings.diagnostics)
            }
        }
        new.validate(replacing: old, isAllocated: transaction != nil, into: &findings)
        // Without a transaction something could not even be asked for, and so was refused.
        guard !findings.hasErrors, let transaction else {
            if let transaction { allocations.revert(transaction) }
            return .refused(findings.diagnostics)
        }
        allocations.commit(transaction, as: new.service)
        giveLoadBalancerIPs(to: &new, from: &allocations, into: &findings)
        services[key] = new
        return .admitted(new, warnings: findings.diagnostics)
    }

    /// Takes a Service out of force, and gives its last version. What becomes of its allocation is for the caller to say.
    @discardableResult
    package mutating func remove(_ key: ServiceKey) -> ServiceManifest? {
        services.removeValue(forKey: key)
    }

    /// Numbers that are no ports can't be asked of an allocator, which answers as it does for those beyond its range.
    private static func impossible(_ new: ServiceManifest, replacing old: ServiceManifest?, _ allocations: Allocations) -> [Finding] {
        if let (index, number) = new.impossibleNodePort {
            return [new.invalid("spec.ports[\(index)].nodePort", String(number), allocations.portRangeDetail)]
        }
        // One that the old version had is not asked for again; that it was changed, validation says.
        guard let number = new.impossibleHealthCheckNodePort, old?.needsHealthCheckNodePort != true else { return [] }
        let text = "failed to allocate requested HealthCheck NodePort \(number): \(allocations.portRangeDetail)"
        return [Finding(.failure, detail: text, location: new.location)]
    }

    private static func findings(_ error: AllocationError, of new: ServiceManifest) -> [Finding] {
        switch error {
        case .internal(let text): [Finding(.failure, detail: text, location: new.location)]
        case .invalid(let values): values.map { new.invalid($0.path, $0.value, $0.detail) }
        }
    }
}
