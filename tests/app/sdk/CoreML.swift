// Stub of the parts of Core ML that the app uses.
import Foundation
public enum MLComputeUnits: Int, Sendable { case cpuOnly, cpuAndGPU, all, cpuAndNeuralEngine }
open class MLModelConfiguration { public init() {}; public var computeUnits: MLComputeUnits = .all }
public final class MLModel { public class func load(contentsOf: URL, configuration: MLModelConfiguration) async throws -> MLModel { MLModel() } }
public final class MLCPUComputeDevice {}
public final class MLGPUComputeDevice {}
public final class MLNeuralEngineComputeDevice {}
public enum MLComputeDevice { case cpu(MLCPUComputeDevice), gpu(MLGPUComputeDevice), neuralEngine(MLNeuralEngineComputeDevice) }
public enum MLModelStructure {
    public struct Program: Sendable { public struct Operation: Sendable {}; public struct Block: Sendable { public let operations: [Operation] }; public struct Function: Sendable { public let block: Block }; public let functions: [String: Function] }
    public struct NeuralNetwork: Sendable { public struct Layer: Sendable {}; public let layers: [Layer] }
    public struct Pipeline: Sendable {}
    case neuralNetwork(NeuralNetwork), program(Program), pipeline(Pipeline), unsupported
}
public final class MLComputePlan {
    public struct DeviceUsage { public let preferred: MLComputeDevice }
    public static func load(contentsOf: URL, configuration: MLModelConfiguration) async throws -> MLComputePlan { fatalError() }
    public let modelStructure: MLModelStructure = .unsupported
    public func deviceUsage(for: MLModelStructure.Program.Operation) -> DeviceUsage? { nil }
    public func deviceUsage(for: MLModelStructure.NeuralNetwork.Layer) -> DeviceUsage? { nil }
}
