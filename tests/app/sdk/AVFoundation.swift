// Stub of the parts of AVFoundation that the app uses.
@_exported import Foundation
@_exported import CoreVideo
@_exported import Dispatch
public struct AVError: Error { public enum Code { case mediaServicesWereReset }; public var code: Code; public var localizedDescription: String { "" } }
public struct AVMediaType: Sendable { public static let video = AVMediaType() }
public enum AVAuthorizationStatus { case notDetermined, restricted, denied, authorized }
public final class AVFrameRateRange { public var minFrameRate: Double { 0 }; public var maxFrameRate: Double { 0 } }
public struct CMTime: Sendable { public init(value: Int64, timescale: CMTimeScale) {} }
public typealias CMTimeScale = Int32
public final class CMSampleBuffer { public var imageBuffer: CVPixelBuffer? { nil } }
public class AVCaptureInput {}
public class AVCaptureOutput { public func connection(with: AVMediaType) -> AVCaptureConnection? { nil } }
public final class AVCaptureConnection { public func isVideoRotationAngleSupported(_ a: CGFloat) -> Bool { true }; public var videoRotationAngle: CGFloat = 0 }
public final class AVCaptureDevice {
    public enum Position { case unspecified, back, front }
    public struct DeviceType: Sendable { public static let builtInWideAngleCamera = DeviceType() }
    public enum TorchMode { case off, on }
    public enum FocusMode { case continuousAutoFocus }
    public enum ExposureMode { case continuousAutoExposure }
    public final class Format { public var videoSupportedFrameRateRanges: [AVFrameRateRange] { [] } }
    public static func `default`(for: AVMediaType) -> AVCaptureDevice? { nil }
    public static func `default`(_ t: DeviceType, for: AVMediaType?, position: Position) -> AVCaptureDevice? { nil }
    public static func authorizationStatus(for: AVMediaType) -> AVAuthorizationStatus { .denied }
    public static func requestAccess(for: AVMediaType) async -> Bool { false }
    public var uniqueID: String { "" }
    public var position: Position { .back }
    public var hasTorch: Bool { false }
    public var isTorchAvailable: Bool { false }
    public var torchMode: TorchMode = .off
    public var activeFormat: Format { Format() }
    public var activeVideoMinFrameDuration = CMTime(value: 1, timescale: 1)
    public func lockForConfiguration() throws {}
    public func unlockForConfiguration() {}
    public var isFocusPointOfInterestSupported: Bool { false }
    public func isFocusModeSupported(_ m: FocusMode) -> Bool { false }
    public var focusPointOfInterest = CGPoint.zero
    public var focusMode = FocusMode.continuousAutoFocus
    public var isExposurePointOfInterestSupported: Bool { false }
    public func isExposureModeSupported(_ m: ExposureMode) -> Bool { false }
    public var exposurePointOfInterest = CGPoint.zero
    public var exposureMode = ExposureMode.continuousAutoExposure
}
public final class AVCaptureDeviceInput: AVCaptureInput { public init(device: AVCaptureDevice) throws {} }
public protocol AVCaptureVideoDataOutputSampleBufferDelegate { func captureOutput(_ output: AVCaptureOutput, didOutput sampleBuffer: CMSampleBuffer, from connection: AVCaptureConnection) }
public final class AVCaptureVideoDataOutput: AVCaptureOutput {
    public override init() {}
    public var alwaysDiscardsLateVideoFrames = true
    public func setSampleBufferDelegate(_ d: (any AVCaptureVideoDataOutputSampleBufferDelegate)?, queue: DispatchQueue?) {}
}
public let AVCaptureSessionErrorKey = ""
public final class AVCaptureSession {
    public struct Preset: Sendable { public static let high = Preset(); public static let hd1280x720 = Preset() }
    public init() {}
    public static let wasInterruptedNotification = Notification.Name("a")
    public static let interruptionEndedNotification = Notification.Name("b")
    public static let runtimeErrorNotification = Notification.Name("c")
    public var isRunning: Bool { false }
    public func startRunning() {}
    public func stopRunning() {}
    public func beginConfiguration() {}
    public func commitConfiguration() {}
    public var inputs: [AVCaptureInput] { [] }
    public var outputs: [AVCaptureOutput] { [] }
    public func canAddInput(_ i: AVCaptureInput) -> Bool { true }
    public func addInput(_ i: AVCaptureInput) {}
    public func removeInput(_ i: AVCaptureInput) {}
    public func canAddOutput(_ i: AVCaptureOutput) -> Bool { true }
    public func addOutput(_ i: AVCaptureOutput) {}
    public func canSetSessionPreset(_ p: Preset) -> Bool { true }
    public var sessionPreset = Preset.high
}
open class CALayer {}
public final class AVCaptureVideoPreviewLayer: CALayer { public var session: AVCaptureSession? }
public final class DispatchSerialQueue: @unchecked Sendable { public init(label: String) {}; public func asUnownedSerialExecutor() -> UnownedSerialExecutor { fatalError() } }
