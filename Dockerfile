FROM node:24-trixie-slim AS build
WORKDIR /app
COPY package.json package-lock.json ./
RUN npm ci
COPY . .
RUN npm run build

FROM node:24-trixie-slim
ENV NODE_ENV=production
WORKDIR /app
COPY package.json package-lock.json ./
RUN npm ci --omit=dev && npm cache clean --force
COPY --from=build /app/cli/bin.js cli/bin.js
COPY --from=build /app/dist dist
COPY --from=build /app/simulators/profiles simulators/profiles
COPY --from=build /app/LICENSE ./

# What `loam up` keeps when it runs from this image; the roles of compose.yaml keep nothing.
ENV LOAM_DATA=/data
# From outside the container, when its ports are published. Its own loopback address nobody else can reach.
ENV LOAM_MQTT_HOST=0.0.0.0
ENV LOAM_HTTP_HOST=0.0.0.0
# The link of the first start signs in who has it from the host, and from private networks: this machine is the container.
ENV LOAM_FIRST_SIGN_IN_FROM=10.0.0.0/8,172.16.0.0/12,192.168.0.0/16,169.254.0.0/16,fc00::/7,fe80::/10
RUN mkdir /data && chown node:node /data
USER node
EXPOSE 1883 8080
ENTRYPOINT ["node", "--max-semi-space-size=64", "cli/bin.js"]
CMD ["up"]
