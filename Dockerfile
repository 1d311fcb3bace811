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
RUN mkdir /data && chown node:node /data
USER node
EXPOSE 1883 8080
ENTRYPOINT ["node", "--max-semi-space-size=64", "cli/bin.js"]
CMD ["up"]
