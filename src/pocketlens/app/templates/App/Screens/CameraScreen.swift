import RecognizerKit
import SwiftUI
import UIKit

/// The live picture with the part that the model sees, and the label it found there.
struct CameraScreen: View {
    let model: CameraModel
    @Environment(\.scenePhase) private var scenePhase

    var body: some View {
        content
            .task(id: scenePhase) {
                // Also on coming back, perhaps from the Settings with a permission.
                if scenePhase == .active {
                    await model.start()
                }
            }
    }

    @ViewBuilder private var content: some View {
        if let problem = model.problem {
            FailureView(title: "Nothing can be recognised", reason: problem, model: model)
        } else {
            switch model.state {
            case .starting, .running, .interrupted:
                live
            case .denied:
                CameraDeniedView()
            case .noCamera:
                ContentUnavailableView(
                    "No camera",
                    systemImage: "video.slash",
                    description: Text("Run this app on an iPhone or iPad.")
                )
            case .failed(let reason):
                FailureView(title: "The camera stopped", reason: reason, model: model)
            }
        }
    }

    private var live: some View {
        ZStack {
            Color.black
            CameraPreview(
                source: model.preview,
                camera: model.camera,
                onRotation: model.rotateFrames(to:),
                onTap: model.focus(at:)
            )
            .accessibilityLabel("Camera")
            if let input = model.input {
                ViewfinderView(
                    frameSize: model.frameSize, input: input, isActive: model.label != nil
                )
            }
        }
        .ignoresSafeArea()
        .overlay(alignment: .bottom) {
            LabelView(label: model.label, isInterrupted: model.state == .interrupted)
        }
        .overlay(alignment: .topTrailing) {
            if model.camera?.hasTorch == true {
                TorchButton(isOn: model.isTorchOn, action: model.toggleTorch)
            }
        }
    }
}

private struct FailureView: View {
    let title: LocalizedStringKey
    let reason: String
    let model: CameraModel

    var body: some View {
        ContentUnavailableView {
            Label(title, systemImage: "exclamationmark.triangle")
        } description: {
            Text(verbatim: reason)
        } actions: {
            Button("Try again") {
                Task { await model.start() }
            }
        }
    }
}

/// Shown when the user has not allowed the camera.
private struct CameraDeniedView: View {
    @Environment(\.openURL) private var openURL

    var body: some View {
        ContentUnavailableView {
            Label("No access to the camera", systemImage: "camera.fill")
        } description: {
            Text("Allow the camera in the Settings to recognise what it sees.")
        } actions: {
            Button("Open Settings") {
                if let settings = URL(string: UIApplication.openSettingsURLString) {
                    openURL(settings)
                }
            }
            .buttonStyle(.borderedProminent)
        }
    }
}

private struct TorchButton: View {
    let isOn: Bool
    let action: () -> Void

    var body: some View {
        Button(action: action) {
            Image(systemName: isOn ? "flashlight.on.fill" : "flashlight.off.fill")
                .font(.title2)
                .padding()
                .background(.regularMaterial, in: Circle())
        }
        .padding()
        .accessibilityLabel("Light")
        .accessibilityValue(isOn ? Text("On") : Text("Off"))
    }
}
