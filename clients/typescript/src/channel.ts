/** How a channel to the gateway is set up: address, credentials, options, service config. */

import { createRequire } from "node:module";

import { ChannelCredentials, type ChannelOptions, credentials } from "@grpc/grpc-js";

import { SERVICE_CONFIG } from "../gen/service_config.js";

const ADDRESS_VARIABLE = "PENSTOCK_ADDRESS";
const DEFAULT_ADDRESS = "127.0.0.1:50051";
const MIB = 1024 * 1024;
const LOOPBACK = /^(ipv[46]:|dns:(\/\/\/)?)?(localhost|127\.[\d.]+|\[::1\])(:\d+)?$/;

/** Roots of one's own, and a certificate for mutual TLS, all as PEM. */
export interface TlsOptions {
  readonly rootCertificates?: Buffer | undefined;
  readonly privateKey?: Buffer | undefined;
  readonly certificateChain?: Buffer | undefined;
}

/** True is TLS with the roots of the system. */
export type Tls = boolean | TlsOptions | ChannelCredentials;

/** The address that a client was given, else the environment's, else the default. */
export function addressOf(address: string | undefined): string {
  // An empty variable is none, as an empty address is.
  const given = [address, process.env[ADDRESS_VARIABLE]].find((each) => each);
  return given ?? DEFAULT_ADDRESS;
}

/** What a channel proves, and asks to be proven. */
export function credentialsOf(tls: Tls): ChannelCredentials {
  if (tls instanceof ChannelCredentials) return tls;
  if (tls === false) return credentials.createInsecure();
  const { rootCertificates, privateKey, certificateChain } = tls === true ? {} : tls;
  return credentials.createSsl(rootCertificates, privateKey, certificateChain);
}

/**
 * Arguments of a channel.
 *
 * @param address - of the gateway.
 * @param repeats - whether gRPC repeats calls itself.
 */
export function channelOptions(address: string, repeats: boolean): ChannelOptions {
  return {
    "grpc.primary_user_agent": `penstock-typescript/${version()}`,
    "grpc.service_config": JSON.stringify(SERVICE_CONFIG),
    // The gateway's own name server has no say in how calls to it are repeated.
    "grpc.service_config_disable_resolution": 1,
    "grpc.enable_retries": repeats ? 1 : 0,
    // Half-open connections under a silent stream are found by pings. The gateway allows one in
    // 20 s, and answers a flood of them with GOAWAY.
    "grpc.keepalive_time_ms": 30_000,
    "grpc.keepalive_timeout_ms": 10_000,
    // A gateway that is restarted is met again within a second or two; the default is 2 min.
    "grpc.initial_reconnect_backoff_ms": 100,
    "grpc.max_reconnect_backoff_ms": 2_000,
    // A page of 1,000 jobs with long failures is larger than gRPC's default of 4 MiB.
    "grpc.max_receive_message_length": 32 * MIB,
    // gRPC would go through the proxy that http_proxy names, which is on another machine.
    "grpc.enable_http_proxy": LOOPBACK.test(address) ? 0 : 1,
  };
}

function version(): string {
  const manifest: unknown = createRequire(import.meta.url)("../../package.json");
  return (manifest as { version: string }).version;
}
