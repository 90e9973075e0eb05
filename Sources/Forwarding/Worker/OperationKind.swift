/// The worker's words for its operations, in `OperationToken.kind`.
enum OperationKind: UInt8 {
    case accept = 1
    case connect, receiveFromClient, receiveFromServer, sendToClient, sendToServer, transferFromClient, transferFromServer
    case watchListener, watchUpstream
    case watchNames, acceptNames, receiveQuery, sendAnswer
    case watchQuestion, connectQuestion, sendQuestion, receiveReply
}
