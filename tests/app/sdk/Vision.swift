// Stub of the parts of Vision that the app uses.
import Foundation
import CoreGraphics
import CoreML
import CoreVideo
public protocol VisionObservation: Sendable {}
public struct ClassificationObservation: VisionObservation { public let identifier: String; public let confidence: Float }
public enum ImageCropAndScaleAction: Sendable { case centerCrop, scaleToFit, scaleToFill }
public struct CoreMLModelContainer: Sendable { public init(model: MLModel) throws {} }
public struct CoreMLRequest: Sendable {
    public init(model: CoreMLModelContainer) {}
    public var cropAndScaleAction: ImageCropAndScaleAction = .scaleToFill
    public func perform(on: CVPixelBuffer, orientation: Int? = nil) async throws -> [any VisionObservation] { [] }
    public func perform(on: CGImage, orientation: Int? = nil) async throws -> [any VisionObservation] { [] }
}
