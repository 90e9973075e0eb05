package import Addressing
package import Routing

/// What answers to names of Pods, `10-244-0-7.prod.pod.cluster.local`.
package enum PodNames: String, Sendable, CaseIterable {
    /// They don't exist.
    case disabled
    /// Each address has one in each namespace.
    case insecure
    /// Only addresses of Pods in that namespace have.
    case verified
}

/// How a query came, which limits the reply's length.
package enum QueryTransport: BitwiseCopyable, Sendable {
    case udp, tcp
}

/// Answers queries from a zone: a value without state, one for each worker. Nothing is allocated on its way.
package struct Responder: Sendable {
    package struct Settings: Sendable {
        package var domain: DomainName
        /// Seconds, of all records and of negative answers; 0...3600.
        package var ttl: UInt32 = 5
        package var podNames = PodNames.disabled
        /// Where this server is asked: glue of the name servers, and what tells whether they are a Service.
        package var serverAddresses: [IPAddress] = []
        /// Addresses whose reverse names are answered here even where they don't exist: the Services' ranges.
        package var ownedRanges: [IPRange] = []
        /// What is sent by UDP at most, and said to clients with EDNS; 512...65,535.
        package var payloadMax = 1232
        /// RA: whether names outside of the zone are asked for.
        package var offersRecursion = false
        /// Whether a Service without endpoints has no name, an ExternalName aside.
        package var hidesServicesWithoutEndpoints = false

        package init(domain: DomainName) { self.domain = domain }
    }

    package let settings: Settings

    package init(_ settings: Settings) { self.settings = settings }

    /// An answer in the buffer.
    package struct Reply: BitwiseCopyable, Sendable {
        /// Bytes to send.
        package let length: Int
        /// What was asked for; 0 where that could not be read.
        package let type: RecordType
        package let code: ResponseCode
        /// Whether the same message is answered by the same bytes, its id aside, as long as the zone is the same.
        package let isFixed: Bool
    }

    /// What is to be done about a message.
    package enum Outcome: BitwiseCopyable, Sendable {
        /// Say nothing.
        case drop
        case reply(Reply)
        /// The same, complete by itself; but its last CNAME leads out of the zone, and records of its target, which stands at that place
        /// uncompressed, may be asked for and appended.
        case alias(length: Int, target: Int, query: Query)
        /// No name of ours: ask somebody else, or send what `fail` makes.
        case forward(Query)
    }

    /// Room that a reply needs at least, in bytes.
    package static let replyLengthMin = 512

    /// Answers one message.
    ///
    /// - Parameters:
    ///   - message: as it came.
    ///   - reply: room for the reply, at least `replyLengthMin` bytes; of TCP 65,535 are used at most.
    package func respond(
        to message: Span<UInt8>, zone: borrowing Zone, over transport: QueryTransport, random: inout RandomSource,
        into reply: inout MutableSpan<UInt8>
    ) -> Outcome {
        switch Query.read(message) {
        case .noQuery: return .drop
        case .malformed: return refuse(message, .formatError, &reply)
        case .unknownOpcode: return refuse(message, .notImplemented, &reply)
        case .query(let query):
            guard query.version == 0 else { return fail(query, message, .badVersion, &reply) }
            guard query.recordClass == Query.internet, !query.type.isMeta else { return fail(query, message, .refused, &reply) }
            let limit = min(
                reply.count, transport == .tcp ? Int(UInt16.max) : max(Self.replyLengthMin, min(query.payloadMax, settings.payloadMax)))
            if let end = query.labelsEnd(message, before: settings.domain.wire) {
                var answer = makeAnswer(query, message, limit: limit, &reply)
                let target = fill(&answer, message, end, zone, &random, &reply)
                let length = answer.finish(payloadMax: settings.payloadMax, &reply)
                return target > 0 && !answer.isTruncated
                    ? .alias(length: length, target: target, query: query)
                    : .reply(Reply(length: length, type: query.type, code: answer.code, isFixed: !answer.isShuffled))
            }
            guard let name = ReverseName(message, query) else { return .forward(query) }
            return reverse(name, query, message, limit: limit, zone, &reply)
        }
    }

    private func refuse(_ message: Span<UInt8>, _ code: ResponseCode, _ reply: inout MutableSpan<UInt8>) -> Outcome {
        let length = Answer.bareHeader(of: message, code, &reply)
        return .reply(Reply(length: length, type: RecordType(rawValue: 0), code: code, isFixed: true))
    }

    private func fail(_ query: Query, _ message: Span<UInt8>, _ code: ResponseCode, _ reply: inout MutableSpan<UInt8>) -> Outcome {
        let length = fail(query, in: message, with: code, into: &reply)
        return .reply(Reply(length: length, type: query.type, code: code, isFixed: true))
    }

    /// A reply without records: the question, the code, and OPT where the query has one.
    ///
    /// - Returns: its length.
    package func fail(
        _ query: Query, in message: Span<UInt8>, with code: ResponseCode, into reply: inout MutableSpan<UInt8>
    ) -> Int {
        var answer = makeAnswer(query, message, limit: Self.replyLengthMin, &reply)
        answer.code = code
        answer.isAuthoritative = false
        return answer.finish(payloadMax: settings.payloadMax, &reply)
    }

    private func makeAnswer(_ query: Query, _ message: Span<UInt8>, limit: Int, _ reply: inout MutableSpan<UInt8>) -> Answer {
        var answer = Answer(query, message, limit: limit, ttl: settings.ttl, into: &reply)
        answer.offersRecursion = settings.offersRecursion
        return answer
    }

    /// Says that there is nothing of the kind at a name, or no such name.
    ///
    /// - Parameter apex: where the name of the zone begins.
    func deny(
        _ answer: inout Answer, exists: Bool, apex: Int, _ zone: borrowing Zone, _ reply: inout MutableSpan<UInt8>
    ) {
        if !exists { answer.code = zone.isSynced ? .nameError : .serverFailure }
        answer.addStartOfAuthority(zone: apex, serial: zone.serial, in: .authority, &reply)
    }

    /// What a question of ANY gets where there is something: one record that means "ask for what you want" (RFC 8482).
    func addMinimal(_ answer: inout Answer, _ reply: inout MutableSpan<UInt8>) {
        guard let place = answer.begin(.hinfo, owner: Query.nameOffset, length: 9, in: .answer, &reply) else { return }
        Answer.put32(0x0752_4643, place, &reply)  // 7, "RFC8482", 0
        Answer.put32(0x3834_3832, place + 4, &reply)
        reply[place + 8] = 0
    }

    // MARK: - Reverse names

    private func reverse(
        _ name: ReverseName, _ query: Query, _ message: Span<UInt8>, limit: Int, _ zone: borrowing Zone,
        _ reply: inout MutableSpan<UInt8>
    ) -> Outcome {
        var apex = 0
        for index in settings.ownedRanges.indices { apex = max(apex, name.zone(of: settings.ownedRanges[index]) ?? 0) }
        let place = name.isWhole ? zone.find(name.address, namespace: message, 0..<0) : nil
        // Of others' zones only that much is ours: the names of our own endpoints.
        guard apex > 0 || place != nil && query.type == .ptr else { return .forward(query) }
        var answer = makeAnswer(query, message, limit: limit, &reply)
        if let place, query.type == .ptr {
            addPointers(at: place, zone, &answer, &reply)
        } else if place != nil, query.type == .any {
            addMinimal(&answer, &reply)
        } else if apex == Query.nameOffset, query.type == .soa {
            answer.addStartOfAuthority(zone: apex, serial: zone.serial, in: .answer, &reply)
        } else {
            deny(&answer, exists: place != nil || !name.hasMore && !name.isWhole, apex: apex, zone, &reply)
        }
        let length = answer.finish(payloadMax: settings.payloadMax, &reply)
        return .reply(Reply(length: length, type: query.type, code: answer.code, isFixed: !answer.isShuffled))
    }

    private func addPointers(
        at place: Shard.Place, _ zone: borrowing Zone, _ answer: inout Answer, _ reply: inout MutableSpan<UInt8>
    ) {
        let table = zone.shards[place.shard]
        let bytes = table.span
        // A Service's own address is its name's, whatever endpoints are there; records of Services come last, as their flag is 1.
        var hasService = false
        var offset = place.offset + 1
        while offset < place.end {
            hasService = hasService || bytes[offset] == 1
            offset += 2 + Int(bytes[offset + 1])
        }
        let domain = settings.domain.wire
        var domainOffset = 0
        offset = place.offset + 1
        while offset < place.end {
            let name = offset + 2..<offset + 2 + Int(bytes[offset + 1])
            defer { offset = name.upperBound }
            if hasService, bytes[offset] == 0 { continue }
            guard name.count + domain.count <= DomainName.lengthMax else { continue }
            let length = name.count + (domainOffset == 0 ? domain.count : 2)
            guard let data = answer.begin(.ptr, owner: Query.nameOffset, length: length, in: .answer, &reply) else { break }
            reply.put(bytes, name, at: data)
            let end = data + name.count
            if domainOffset > 0 {
                Answer.put16(UInt16(domainOffset | 0xc000), end, &reply)
            } else {
                domainOffset = end
                reply.put(domain.span, 0..<domain.count, at: end)
            }
        }
    }
}
